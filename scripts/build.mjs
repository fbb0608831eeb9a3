// `npm run build`: TypeScript to dist/, the C++ kernels to dist/wasm/ and dist/native/. Incremental; two jobs at a time.
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { root, runJobs, seconds } from "./lib/run.mjs";

const began = performance.now();
const source = join(root, "src");
const dist = join(root, "dist");

/** Paths of all files under a folder, relative to it. */
function files(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)));
}

const modules = new Set(
  files(source)
    .filter((path) => path.endsWith(".ts") && !/\.(test|test-d)\.ts$/.test(path))
    .map((path) => path.slice(0, -".ts".length)),
);

// What was compiled from a file that is gone would still be importable, and packed.
for (const path of files(dist)) {
  if (/^(native|wasm)$/.test(path.split(sep)[0])) continue;
  const module = path.replace(/\.(js|d\.ts)$/, "");
  if (!modules.has(module)) rmSync(join(dist, path));
}

// The compiler trusts its notes of the last run; they are void where an output was deleted.
const complete = [...modules].every((path) => existsSync(join(dist, `${path}.js`)));
if (!complete) rmSync(join(root, ".cache", "build.tsbuildinfo"), { force: true });

const failed = await runJobs([
  { name: "wasm", args: ["scripts/build-wasm.mjs"] },
  { name: "native", args: ["scripts/build-native.mjs"] },
  { name: "typescript", args: ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"] },
]);

const bin = join(dist, "cli", "main.js");
if (existsSync(bin)) chmodSync(bin, 0o755);

if (failed.length > 0) {
  console.log(`build failed: ${failed.join(", ")}`);
  process.exit(1);
}
console.log(`build: ${seconds(began)}`);
