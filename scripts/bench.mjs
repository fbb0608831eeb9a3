// `npm run bench -- <name> … [--json FILE]`: runs bench/<name>.bench.ts (or .mjs) against the built package and prints its rows.
//
// A benchmark exports `about` (one line) and a default function `(options) => rows`, sync or async: objects with the
// same keys, texts and numbers. `options` are the arguments the script does not know: `--size 512` is { size: "512" }.
// It imports the package by name (`chainrule`, `chainrule/tensor`), so that what is measured is what is shipped.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, cpus, platform } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { transformWithOxc } from "vite";
import { capture, root, seconds } from "./lib/run.mjs";

const folder = join(root, "bench");
const found = existsSync(folder) ? readdirSync(folder) : [];
const files = new Map(
  found.filter((file) => /\.bench\.(ts|mjs)$/.test(file)).map((file) => [file.split(".bench.")[0], join(folder, file)]),
);

const names = [];
const given = {};
for (let args = process.argv.slice(2); args.length > 0; args = args.slice(1)) {
  if (!args[0].startsWith("--")) names.push(args[0]);
  else if (args[0].includes("=")) given[args[0].slice(2).split("=")[0]] = args[0].slice(args[0].indexOf("=") + 1);
  else given[args[0].slice(2)] = (args = args.slice(1))[0] ?? "";
}
const { json, ...options } = given;

async function load(name) {
  const path = files.get(name);
  if (path === undefined) {
    console.error(`there is no bench/${name}.bench.ts`);
    process.exit(1);
  }
  if (path.endsWith(".mjs")) return import(pathToFileURL(path));
  // Inside the repository, so that the package finds itself by name.
  const { code } = await transformWithOxc(readFileSync(path, "utf8"), path, { sourcemap: false });
  const out = join(root, ".cache", "bench", `${name}.mjs`);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, code);
  return import(pathToFileURL(out));
}

function table(rows) {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value ?? ""));
  const lines = [columns, ...rows.map((row) => columns.map((column) => cell(row[column])))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  const numeric = columns.map((column) => rows.every((row) => typeof (row[column] ?? 0) === "number"));
  const pad = (text, i) => (numeric[i] ? text.padStart(widths[i]) : text.padEnd(widths[i]));
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n");
}

async function machine() {
  const { text } = await capture("git", ["rev-parse", "--short", "HEAD"]).catch(() => ({ text: "" }));
  return {
    date: new Date().toISOString(),
    commit: text.trim(),
    node: process.versions.node,
    platform: `${platform()} ${arch()}`,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
  };
}

if (names.length === 0) {
  console.log("usage: npm run bench -- <name> … [--json FILE]");
  for (const name of files.keys()) console.log(`  ${name.padEnd(16)}${(await load(name)).about ?? ""}`);
  process.exit(files.size === 0 ? 1 : 0);
}

const where = await machine();
console.log(`${where.processor}, ${where.cores} cores, node ${where.node}, ${where.platform}, ${where.commit}`);
const results = {};
for (const name of names) {
  const start = performance.now();
  const { about, default: measure } = await load(name);
  const rows = await measure(options);
  console.log(`\n${name}: ${about} (${seconds(start)})\n${table(rows)}`);
  results[name] = rows;
}
if (json !== undefined) {
  const path = resolve(root, json);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ ...where, results }, undefined, 2)}\n`);
}
