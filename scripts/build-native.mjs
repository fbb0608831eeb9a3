// Builds dist/native/chainrule.node with the C++ compiler of the machine and the headers of `node-api-headers`.
// Each kernel file is compiled once for each processor variant. Where there is no compiler, wasm is used and nothing fails.
// `--only avx512` compiles one variant and links the others as they were last: for work on a kernel, not for tests.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "native");
const target = join(root, "dist/native");
const objects = join(root, ".cache/native");
const addon = join(target, "chainrule.node");

if (process.platform === "win32") {
  console.log("native: not built on Windows yet: the wasm backend will be used");
  process.exit(0);
}
const candidates = process.env.CXX ? [process.env.CXX] : ["clang++", "g++", "c++"];
const compiler = candidates.find((name) => spawnSync(name, ["--version"]).status === 0);
if (compiler === undefined) {
  console.log(`native: no C++ compiler (looked for ${candidates.join(", ")}): the wasm backend will be used`);
  process.exit(0);
}
const version = spawnSync(compiler, ["--version"], { encoding: "utf8" }).stdout;
const clang = version.includes("clang");

const flags = [
  "-std=c++17",
  "-O3",
  "-fPIC",
  "-fvisibility=hidden",
  "-fno-exceptions",
  "-fno-rtti",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-ffp-contract=fast", // a · b + c in one rounding where the variant has it: the same in every chunk
  "-Wall",
  "-Wextra",
  "-Wno-psabi",
  ...(clang ? ["-Wno-unknown-pragmas"] : ["-Wno-maybe-uninitialized"]),
  `-I${source}`,
  `-I${join(root, "node_modules/node-api-headers/include")}`,
];
const variants =
  process.arch === "x64"
    ? {
        avx512: ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
        avx2: ["-mavx2", "-mfma"],
        baseline: [],
      }
    : { baseline: [] }; // ARM: the vectors are NEON's by themselves

// [source, object, flags] of every compilation, the slowest first.
const kernels = readdirSync(join(source, "kernels")).filter((name) => name.endsWith(".cpp"));
const slow = ["reduce.cpp", "matmul.cpp", "conv.cpp", "loop.cpp"];
kernels.sort((a, b) => (slow.indexOf(a) >>> 0) - (slow.indexOf(b) >>> 0));
const units = Object.entries(variants).flatMap(([name, extra]) =>
  [...kernels.map((kernel) => `kernels/${kernel}`), "table.cpp"].map((file) => ({
    file,
    object: join(objects, `${basename(file, ".cpp")}-${name}.o`),
    flags: [...flags, `-DVARIANT=${name}`, ...extra],
  })),
);
for (const file of ["addon.cpp", "pool.cpp", "runtime.cpp"])
  units.push({ file, object: join(objects, file.replace(".cpp", ".o")), flags: [...flags, "-pthread"] });

const hashOf = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");
for (const unit of units) unit.hash = hashOf(version, unit.flags.join(" "), ...withIncludes(unit.file));

const whole = hashOf(units.map((unit) => unit.file + unit.hash).join("\n"));
const stamp = join(target, "chainrule.hash");
if (existsSync(addon) && existsSync(stamp) && readFileSync(stamp, "utf8") === whole) {
  console.log("native: up to date");
  process.exit(0);
}
mkdirSync(target, { recursive: true });
mkdirSync(objects, { recursive: true });

/** The text of a source and of all it includes from native/. */
function withIncludes(file, seen = new Set()) {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(join(source, file), "utf8");
  const includes = [...text.matchAll(/^\s*#include "([^"]+)"/gm)].flatMap(([, name]) => withIncludes(name, seen));
  return [text, ...includes];
}

/** Runs the compiler; prints what it says; resolves to whether it succeeded. */
function compile(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(compiler, args, { cwd: source, stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code === 0));
  });
}
const began = performance.now();
const only = process.argv[process.argv.indexOf("--only") + 1];
const waiting = units.filter(({ object, hash }) => {
  const other = Object.keys(variants).some((name) => name !== only && object.endsWith(`-${name}.o`));
  if (process.argv.includes("--only") && other && existsSync(object)) return false;
  const known = `${object}.hash`;
  return !(existsSync(object) && existsSync(known) && readFileSync(known, "utf8") === hash);
});
const compiled = waiting.length;
let failed = false;
async function worker() {
  for (let unit = waiting.shift(); unit !== undefined && !failed; unit = waiting.shift()) {
    if (await compile([...unit.flags, "-c", unit.file, "-o", unit.object]))
      writeFileSync(`${unit.object}.hash`, unit.hash);
    else failed = true;
  }
}
await Promise.all([worker(), worker()]);

const link =
  process.platform === "darwin"
    ? ["-bundle", "-undefined", "dynamic_lookup"]
    : ["-shared", "-pthread", "-Wl,-z,nodelete"]; // threads may outlive a worker that loaded the addon
// Written beside and renamed: a process that has the old one mapped keeps it.
const fresh = `${addon}.${process.pid}`;
if (failed || !(await compile([...link, ...units.map((unit) => unit.object), "-o", fresh]))) {
  console.error(`native: ${compiler} failed`);
  process.exit(1);
}
renameSync(fresh, addon);
writeFileSync(stamp, process.argv.includes("--only") ? "" : whole);
const took = ((performance.now() - began) / 1000).toFixed(1);
console.log(`native: built with ${version.split("\n")[0]} (${compiled} files, ${took} s)`);
