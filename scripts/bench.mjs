// `npm run bench -- <name> … [--peers] [--json FILE]`: runs bench/<name>.bench.ts against the built package, prints its rows.
//
// A benchmark exports `about` (one line) and a default function `(options, { root }) => rows`, sync or async: objects with
// the same keys, texts and numbers. `options` are the arguments the script does not know: `--size 512` is { size: "512" }.
// It imports the package by name (`chainrule`, `chainrule/tensor`), so that what is measured is what is shipped.
// Each run is appended to bench/results/<name>.jsonl, with the machine and its load; --no-save leaves it out.
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { arch, availableParallelism, cpus, loadavg, platform } from "node:os";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { transformWithOxc } from "vite";
import { capture, root, seconds } from "./lib/run.mjs";

const folder = join(root, "bench");
const found = existsSync(folder) ? readdirSync(folder) : [];
const files = new Map(
  found.filter((file) => /\.bench\.(ts|mjs)$/.test(file)).map((file) => [file.split(".bench.")[0], join(folder, file)]),
);

// Arguments without a value.
const FLAGS = ["peers", "compile", "no-save"];

const names = [];
const given = {};
for (let args = process.argv.slice(2); args.length > 0; args = args.slice(1)) {
  if (!args[0].startsWith("--")) names.push(args[0]);
  else if (FLAGS.includes(args[0].slice(2))) given[args[0].slice(2)] = true;
  else if (args[0].includes("=")) given[args[0].slice(2).split("=")[0]] = args[0].slice(args[0].indexOf("=") + 1);
  else given[args[0].slice(2)] = (args = args.slice(1))[0] ?? "";
}
const { json, "no-save": unsaved = false, ...options } = given;

async function load(name) {
  const path = files.get(name);
  if (path === undefined) {
    console.error(`there is no bench/${name}.bench.ts`);
    process.exit(1);
  }
  if (path.endsWith(".mjs")) return import(pathToFileURL(path));
  await (transpiled ??= transpile());
  return import(pathToFileURL(join(out, `${name}.bench.mjs`)));
}

// The whole folder, into one inside the repository, so that the package finds itself by name.
const out = join(root, ".cache", "bench");
let transpiled;

async function transpile() {
  for (const file of readdirSync(folder, { recursive: true }).filter((path) => /(?<!\.test)\.ts$/.test(path))) {
    const { code } = await transformWithOxc(readFileSync(join(folder, file), "utf8"), file, { sourcemap: false });
    const to = join(out, file.replace(/\.ts$/, ".mjs"));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, code.replace(/(\bfrom\s*"\.[^"]*)\.ts"/g, '$1.mjs"'));
  }
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

// A row of a contest in columns.
function columns({ peer, ratio, peakShare, ...row }) {
  return {
    ...row,
    peer: peer?.value,
    ratio: ratio ?? undefined,
    "of peak": peakShare === null ? undefined : `${Math.round(peakShare * 100)} %`,
    against: peer === null ? "" : `${peer.name} ${peer.version}`,
  };
}

// What `--json` holds: rows of contests as they are; of other benchmarks, each number by itself.
function measured(name, rows) {
  if (rows.every((row) => "peakShare" in row)) return rows;
  return rows.flatMap(({ device = "", threads = 0, ...row }) => {
    const texts = Object.values(row).filter((value) => typeof value === "string");
    return Object.entries(row)
      .filter(([, value]) => typeof value === "number")
      .map(([unit, ours]) => {
        return {
          name: [name, ...texts].join(" "),
          unit,
          ours,
          peer: null,
          ratio: null,
          threads,
          device,
          peakShare: null,
        };
      });
  });
}

if (names.length === 0) {
  console.log("usage: npm run bench -- <name> … [--peers] [--json FILE]");
  for (const name of files.keys()) console.log(`  ${name.padEnd(16)}${(await load(name)).about ?? ""}`);
  console.log(`
  --peers        against PyTorch and TensorFlow.js too   --compile      the newest PyTorch under torch.compile besides
  --threads N    only so many; else one, and all         --device NAME  native or wasm
  --variant NAME kernels: avx512, avx2, relaxed, …       --rounds N     turns of each; default 5
  --json FILE    the rows as an array                    --no-save      not into bench/results/`);
  process.exit(files.size === 0 ? 1 : 0);
}

const where = await machine();
console.log(`${where.processor}, ${where.cores} cores, node ${where.node}, ${where.platform}, ${where.commit}`);
const results = [];
for (const name of names) {
  const start = performance.now();
  const { about, default: measure } = await load(name);
  const load1 = loadavg()[0];
  const rows = await measure(options, { root });
  const shown = rows.every((row) => "peakShare" in row) ? rows.map(columns) : rows;
  console.log(`\n${name}: ${about} (${seconds(start)}, load before ${load1.toFixed(1)})\n${table(shown)}`);
  const own = measured(name, rows);
  results.push(...own);
  if (unsaved) continue;
  mkdirSync(join(folder, "results"), { recursive: true });
  const line = { ...where, load: Number(load1.toFixed(2)), options, rows: own };
  appendFileSync(join(folder, "results", `${name}.jsonl`), `${JSON.stringify(line)}\n`);
}
if (json !== undefined) {
  const path = resolve(root, json);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, undefined, 2)}\n`);
}
