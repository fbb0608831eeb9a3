// Builds dist/wasm/chainrule.wasm, and chainrule-relaxed.wasm for engines with relaxed SIMD, from the kernels in native/
// with clang, itself a WebAssembly program from npm: no compiler is needed.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "native");
const target = join(root, "dist/wasm");
const objects = join(root, ".cache/wasm");
const { version } = JSON.parse(readFileSync(join(root, "node_modules/@yowasp/clang/package.json"), "utf8"));

const flags = [
  "--target=wasm32",
  "-std=c++17",
  "-O2", // as fast as -O3 here, and a third less time to build
  "-msimd128",
  "-mbulk-memory",
  "-matomics", // memory may be shared: workers run the same module in it
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
];
// Fused multiply-add where the engine has it: results then depend on the hardware. Only files that live on it are compiled
// twice; those that share inline functions (gemm.hpp) must be together.
const relaxed = {
  flags: [...flags.filter((flag) => !flag.startsWith("-ffp-contract")), "-ffp-contract=on", "-mrelaxed-simd"],
  units: ["matmul", "conv", "attention", "norm", "softmax"].map((name) => `kernels/${name}.cpp`),
};
const linkFlags = [
  "--target=wasm32",
  "-nostdlib",
  "-Wl,--no-entry",
  "-Wl,--stack-first",
  "-Wl,-z,stack-size=262144",
  "-Wl,--strip-all",
  "-Wl,--shared-memory",
  "-Wl,--import-memory",
  "-Wl,--export=__stack_pointer", // each worker has a stack and thread-local variables of its own
  "-Wl,--export=__wasm_init_tls",
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
const hashOf = (value) => createHash("sha256").update(JSON.stringify(value)).digest("hex");
const textOf = (unit) => (unit.startsWith("kernels/") ? files.kernels[unit.slice("kernels/".length)] : files[unit]);
const headers = Object.entries(files).filter(([name]) => /\.(hpp|def)$/.test(name));
for (const unit of units)
  if (textOf(unit).includes('"gemm.hpp"') && !relaxed.units.includes(unit))
    throw new Error(`${unit} includes gemm.hpp: it must be among the files compiled for relaxed SIMD`);

/** Objects by name: what they are compiled from and with. */
const compilation = (unit, suffix, own) => ({
  unit,
  flags: own,
  name: unit.replace("/", "-").replace(".cpp", `${suffix}.o`),
  hash: hashOf([version, own, headers, textOf(unit)]),
});
const plain = units.map((unit) => compilation(unit, "", flags));
const modules = {
  "chainrule.wasm": plain,
  "chainrule-relaxed.wasm": units.map((unit, i) =>
    relaxed.units.includes(unit) ? compilation(unit, "-relaxed", relaxed.flags) : plain[i],
  ),
};
const hash = hashOf([linkFlags, Object.entries(modules)]);
const stamp = join(target, "chainrule.hash");
const built = Object.keys(modules).every((name) => existsSync(join(target, name)));
if (built && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) {
  console.log("wasm: up to date");
  process.exit(0);
}

const began = performance.now();
const { runClang, runLLVM } = await import("@yowasp/clang");
await runLLVM(null, {}, { fetchProgress: () => {} }); // reads the compiler in, without its progress lines

/** Runs the compiler on a tree of files and returns one of its outputs. */
async function clang(args, tree, output) {
  let said = "";
  const decoder = new TextDecoder();
  const stderr = (chunk) => (said += chunk === null ? "" : decoder.decode(chunk, { stream: true }));
  try {
    return (await runClang(["clang++", ...args, "-o", output], tree, { stdout: null, stderr, decodeASCII: false }))[
      output
    ];
  } catch (error) {
    said ||= String(error);
    process.exitCode = 1;
  } finally {
    if (said.trim() !== "") console.error(said.trimEnd());
  }
  process.exit(1);
}

mkdirSync(objects, { recursive: true });
mkdirSync(target, { recursive: true });
const linked = new Map();
let compiled = 0;
for (const { unit, name, flags: own, hash: wanted } of new Set(Object.values(modules).flat())) {
  const path = join(objects, name);
  const known = `${path}.hash`;
  if (existsSync(path) && existsSync(known) && readFileSync(known, "utf8") === wanted) {
    linked.set(name, new Uint8Array(readFileSync(path)));
    continue;
  }
  linked.set(name, await clang([...own, "-c", unit], files, name));
  writeFileSync(path, linked.get(name));
  writeFileSync(known, wanted);
  compiled++;
}
let bytes = 0;
for (const [file, parts] of Object.entries(modules)) {
  const tree = Object.fromEntries(parts.map(({ name }) => [name, linked.get(name)]));
  const output = await clang([...linkFlags, ...Object.keys(tree)], tree, file);
  const fresh = join(target, `${file}.${process.pid}`);
  writeFileSync(fresh, output);
  renameSync(fresh, join(target, file));
  bytes += output.length;
}
writeFileSync(stamp, hash);
const took = ((performance.now() - began) / 1000).toFixed(1);
console.log(`wasm: built with clang ${version} (${compiled} files, ${(bytes / 1024).toFixed(0)} KiB, ${took} s)`);
