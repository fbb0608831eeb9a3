// `npm test`: build, check, all suites. `npm test -- pattern …` builds and runs the test files whose path holds a pattern.
// The last line is the count that machines read: `N passed, N failed`. Each failing check counts as one.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check } from "./check.mjs";
import { closingLine, SUMMARY } from "./lib/reporter.mjs";
import { root, runNode, seconds } from "./lib/run.mjs";

const began = performance.now();
const args = process.argv.slice(2);
const whole = args.length === 0;

const cache = join(root, ".cache");
mkdirSync(cache, { recursive: true });

function close(counts) {
  const line = closingLine(counts);
  writeFileSync(join(cache, "closing-line"), `${line}\n`);
  console.log(`test: ${seconds(began)}`);
  console.log(line);
  process.exit(counts.failed === 0 ? 0 : 1);
}

if ((await runNode(["scripts/build.mjs"])) !== 0) close({ passed: 0, failed: 1, skipped: 0 });

// The suite test/architecture is among the tests below.
const checks = whole ? ["format", "lint", "types", "generated"] : [];
const failedChecks = whole ? await check(checks) : [];

const summary = join(cache, "test-summary.json");
rmSync(summary, { force: true });
const env = { ...process.env, [SUMMARY]: summary };
const code = await runNode(["node_modules/vitest/vitest.mjs", "run", ...args], { env });

// No summary: the runner itself broke.
const tests = existsSync(summary) ? JSON.parse(readFileSync(summary, "utf8")) : { passed: 0, failed: 1, skipped: 0 };
// The runner also refuses runs in which nothing failed: no test found, for one.
if (code !== 0 && tests.failed === 0) tests.failed = 1;
if (failedChecks.length > 0) console.log(`check failed: ${failedChecks.join(", ")}`);
close({
  passed: tests.passed + checks.length - failedChecks.length,
  failed: tests.failed + failedChecks.length,
  skipped: tests.skipped,
});
