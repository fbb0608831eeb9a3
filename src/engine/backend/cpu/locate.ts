// Finding and loading the built binaries, from sources and from dist/ alike. Node modules are asked for at run time,
// so that a browser can load this file.
import { BackendError } from "../../core/index.ts";

interface NodeModules {
  readonly fs: typeof import("node:fs");
  readonly path: typeof import("node:path");
  readonly url: typeof import("node:url");
  readonly module: typeof import("node:module");
}

function nodeModules(where: string): NodeModules {
  const get = typeof process === "undefined" ? undefined : process.getBuiltinModule;
  if (get === undefined) {
    throw new BackendError(where, "files can be loaded in Node 20.16 or later only", {
      hint: "in a browser fetch chainrule.wasm and give its bytes to createWasm",
    });
  }
  return { fs: get("node:fs"), path: get("node:path"), url: get("node:url"), module: get("node:module") };
}

// The folder of the package this file belongs to, whether it runs from src/ or from dist/.
function packageRoot({ fs, path, url }: NodeModules): string | undefined {
  for (let folder = path.dirname(url.fileURLToPath(import.meta.url)); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (
      fs.existsSync(manifest) &&
      (JSON.parse(fs.readFileSync(manifest, "utf8")) as { name?: string }).name === "chainrule"
    )
      return folder;
    if (path.dirname(folder) === folder) return undefined;
  }
}

/** The path of a file of the package, `undefined` where it does not exist. */
function packageFile(node: NodeModules, name: string): string | undefined {
  const root = packageRoot(node);
  if (root === undefined) return undefined;
  const file = node.path.join(root, name);
  return node.fs.existsSync(file) ? file : undefined;
}

/** The bytes of a WebAssembly module of the package. */
export function readWasm(name: string): Uint8Array<ArrayBuffer> {
  const node = nodeModules("wasm");
  const file = packageFile(node, `dist/wasm/${name}`);
  if (file === undefined)
    throw new BackendError("wasm", `dist/wasm/${name} does not exist`, { hint: "build it with `npm run build`" });
  return new Uint8Array(node.fs.readFileSync(file));
}

/** The exports of the native addon and where it came from: the local build, else the prebuilt package of the platform. */
export function requireNative(): { exports: unknown; from: string } {
  const node = nodeModules("native");
  const require = node.module.createRequire(import.meta.url);
  const local = packageFile(node, "dist/native/chainrule.node");
  const prebuilt = `@chainrule/native-${process.platform}-${process.arch}`;
  let path = local;
  if (path === undefined) {
    try {
      path = require.resolve(prebuilt);
    } catch {
      throw new BackendError("native", `neither dist/native/chainrule.node nor the package ${prebuilt} exists`, {
        hint: "build it with `npm run build` where a C++ compiler is installed",
      });
    }
  }
  try {
    return { exports: require(path), from: local === undefined ? prebuilt : "built here" };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0]! : String(cause);
    throw new BackendError("native", `the addon does not load: ${reason}`, { cause, hint: "build it again" });
  }
}
