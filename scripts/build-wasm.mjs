// Builds dist/wasm/chainrule.wasm from the kernels in native/ with clang, itself a WebAssembly program from npm: no compiler is needed.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "native");
const target = join(root, "dist/wasm");
const { version } = JSON.parse(readFileSync(join(root, "node_modules/@yowasp/clang/package.json"), "utf8"));

const flags = [
  "--target=wasm32",
  "-std=c++17",
  "-O3",
  "-msimd128",
  "-mbulk-memory",
  "-mnontrapping-fptoint",
  "-nostdlib",
  "-nostdinc++",
  "-fno-exceptions",
  "-fno-rtti",
  "-fno-math-errno",
  "-fno-threadsafe-statics",
  "-ffp-contract=off", // no fused multiply-add in plain SIMD: the same bits on every engine
  "-I.",
  "-DVARIANT=wasm",
  "-Wall",
  "-Wextra",
  "-Wno-psabi",
  "-Wl,--no-entry",
  "-Wl,--stack-first",
  "-Wl,-z,stack-size=262144",
  "-Wl,--strip-all",
  "-Wl,--initial-memory=2097152",
  "-Wl,--max-memory=4294967296",
];

/** Sources as the tree that the compiler's file system is given. */
const files = { kernels: {} };
const units = [];
for (const name of readdirSync(source, { recursive: true }).sort()) {
  const path = name.replaceAll("\\", "/");
  if (!/\.(cpp|hpp|def)$/.test(path)) continue;
  const text = readFileSync(join(source, path), "utf8");
  if (path.startsWith("kernels/")) files.kernels[path.slice("kernels/".length)] = text;
  else files[path] = text;
  if (path.endsWith(".cpp") && !["addon.cpp", "pool.cpp"].includes(path)) units.push(path);
}
const hash = createHash("sha256")
  .update(JSON.stringify([version, flags, files]))
  .digest("hex");
const stamp = join(target, "chainrule.hash");
const module = join(target, "chainrule.wasm");
if (existsSync(module) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) {
  console.log("wasm: up to date");
  process.exit(0);
}

const began = performance.now();
const { runClang, runLLVM } = await import("@yowasp/clang");
await runLLVM(null, {}, { fetchProgress: () => {} }); // reads the compiler in, without its progress lines
let said = "";
const decoder = new TextDecoder();
let output;
try {
  output = await runClang(["clang++", ...flags, ...units, "-o", "chainrule.wasm"], files, {
    stdout: null,
    stderr: (chunk) => (said += chunk === null ? "" : decoder.decode(chunk, { stream: true })),
  });
} catch (error) {
  console.error(said || String(error));
  process.exit(1);
}
if (said.trim() !== "") console.error(said.trimEnd());
const bytes = output["chainrule.wasm"];
mkdirSync(target, { recursive: true });
const fresh = `${module}.${process.pid}`;
writeFileSync(fresh, bytes);
renameSync(fresh, module);
writeFileSync(stamp, hash);
const took = ((performance.now() - began) / 1000).toFixed(1);
console.log(`wasm: built with clang ${version} (${(bytes.length / 1024).toFixed(0)} KiB, ${took} s)`);
