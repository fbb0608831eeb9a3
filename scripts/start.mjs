// `npm start` on a fresh clone: installs what is missing, builds, runs the quickstart, and trains a language model for a minute.
// Plain Node and no dependency: nothing is installed when it begins.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { root, runNode, runNpm, seconds } from "./lib/run.mjs";

const began = performance.now();

// npm writes this file last; an installation older than the lock is not the one the lock asks for.
function installed() {
  const record = join(root, "node_modules", ".package-lock.json");
  return existsSync(record) && statSync(record).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

async function step(name, work) {
  const start = performance.now();
  console.error(`> ${name}`);
  const code = await work();
  if (code !== 0) {
    console.error(`> ${name} failed with exit code ${code} after ${seconds(start)}`);
    process.exit(code);
  }
  console.error(`> ${name}: ${seconds(start)}`);
}

const [major] = process.versions.node.split(".").map(Number);
if (major < 20) {
  console.error(`Chainrule needs Node 20 or newer; this is ${process.versions.node}.`);
  process.exit(1);
}

if (!installed()) await step("npm ci", () => runNpm(["ci", "--no-audit", "--no-fund"]));
await step("build", () => runNode(["scripts/build.mjs"]));
const chainrule = (...args) => runNode(["dist/cli/main.js", ...args]);
await step("quickstart", () => chainrule("quickstart", ...process.argv.slice(2)));

// A second time it goes on where the first one stood, or shows what that came to.
const run = join(root, "runs/shakespeare-cpu");
const begun = existsSync(join(run, "recipe.json"));
await step("a language model on Shakespeare's plays", () =>
  chainrule("pretrain", ...(begun ? ["--resume", run] : ["--preset", "shakespeare-cpu", "--out", run])),
);
await step("what it writes", () =>
  chainrule("generate", run, "--prompt", "ROMEO:", "--echo", "--max-tokens", "300", "--slide", "--temperature", "0.8"),
);
console.error(`> all: ${seconds(began)}`);
