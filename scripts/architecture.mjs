// Writes what follows from layers.ts: ARCHITECTURE.md, and the `exports` of package.json.
// `--check` writes nothing and fails where they are out of date.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format } from "prettier";
import { intent, isExported, readLayers, sourceFiles } from "./lib/layers.mjs";
import { root } from "./lib/run.mjs";

const layers = await readLayers();

const street = `
 files ──formats──▶ HostArray ──datasets──▶ Batch
                                             │
 step(state, batch) ──trace──▶ Program ──transform──▶ Program ──compile──▶ Plan ──backend──▶ { state, metrics }
                               (equations)            (+ gradients)        (kernel calls)        │
                                                                                                 ▼
                                                              run log · checkpoints ──▶ command line · exports
`;

function importsOf(layer) {
  if (layer.imports.length === 0) return "nothing";
  if (layer.imports.length === layers.length - 1) return "every room";
  return [...layer.imports, ...(layer.types ?? []).map((name) => `${name} (types)`)].join(" ");
}

function chapter(layer) {
  const files = sourceFiles(layer, layers);
  const subpath = isExported(layer) ? `\`chainrule/${layer.name}\` · ` : "";
  const lines = [`### ${layer.name}`, "", `${subpath}\`src/${layer.folder}/\` · imports ${importsOf(layer)}`, ""];
  lines.push(layer.about, "");
  if (files.length === 0) lines.push("No file yet.");
  for (const path of files) lines.push(`- \`${path}\`: ${intent(layer, path)}`);
  return lines.join("\n");
}

function architecture() {
  const rows = layers.map(
    (layer) => `| ${layer.name} | \`src/${layer.folder}/\` | ${importsOf(layer)} | ${layer.meaning} |`,
  );
  return `<!-- Written by scripts/architecture.mjs from layers.ts and the first line of every file. Do not edit. -->

# Architecture

A training step (forward, loss, backward, update) is traced once into a *Program* that can be printed and read. Differentiation and everything else that is done to it are functions from programs to programs. The compiler turns the result into one static *Plan*: a list of kernel calls over one planned block of memory, and a backend executes the whole plan in one call.

\`\`\`
${street.slice(1, -1)}
\`\`\`

Folder = layer = subpath export = chapter of this file. A room imports from rooms above it in this table only, and only those named; \`test/architecture\` enforces it.

| room | folder | may import | what it is for |
| --- | --- | --- | --- |
${rows.join("\n")}

Beside \`src/\`: \`native/\` holds the C++ kernels, one source for the native addon and for WebAssembly; \`data/\` the embedded digits; \`test/\` the suites that cross rooms (unit tests stand beside their source); \`bench/\` the measurements; \`docs/\` the book, the decisions and the log; \`scripts/\` what npm calls.

## The rooms

${layers.map(chapter).join("\n\n")}
`;
}

function packageJson(text) {
  const parsed = JSON.parse(text);
  const entry = (path) => ({ types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` });
  const exports = { ".": entry("index") };
  for (const layer of layers) if (isExported(layer)) exports[`./${layer.name}`] = entry(`${layer.folder}/index`);
  exports["./package.json"] = "./package.json";
  return `${JSON.stringify({ ...parsed, exports }, null, 2)}\n`;
}

const generated = {
  "ARCHITECTURE.md": await format(architecture(), { parser: "markdown", printWidth: 120 }),
  "package.json": packageJson(readFileSync(join(root, "package.json"), "utf8")),
};

let stale = 0;
for (const [name, text] of Object.entries(generated)) {
  const path = join(root, name);
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  stale++;
  if (process.argv.includes("--check")) console.log(`${name} is out of date: run \`npm run architecture\``);
  else {
    writeFileSync(path, text);
    console.log(`wrote ${name}`);
  }
}
if (process.argv.includes("--check") && stale > 0) process.exit(1);
