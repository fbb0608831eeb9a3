// `npm run check`: format, lint, types, architecture. All run, then the failing ones are named.
import { fileURLToPath } from "node:url";
import { runJobs, seconds } from "./lib/run.mjs";

const jobs = [
  {
    name: "format",
    args: [
      "node_modules/prettier/bin/prettier.cjs",
      "--check",
      "--log-level",
      "warn",
      "--cache",
      "--cache-location",
      ".cache/prettier",
      ".",
    ],
  },
  { name: "lint", args: ["node_modules/oxlint/bin/oxlint", "--type-aware", "--format=unix", "."] },
  { name: "types", args: ["node_modules/typescript/bin/tsc", "-p", "."] },
  { name: "generated", args: ["scripts/architecture.mjs", "--check"] },
  { name: "architecture", args: ["node_modules/vitest/vitest.mjs", "run", "test/architecture"] },
];

/** Runs the checks; `npm test` leaves out the last one, which is a suite of its own. */
export function check(names = jobs.map((job) => job.name)) {
  return runJobs(jobs.filter((job) => names.includes(job.name)).map((job) => ({ ...job, quiet: true })));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const began = performance.now();
  const failed = await check();
  console.log(failed.length === 0 ? `check: ${seconds(began)}` : `check failed: ${failed.join(", ")}`);
  process.exit(failed.length === 0 ? 0 : 1);
}
