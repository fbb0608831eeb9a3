// What a test run says at its end: the slowest files, and one closing line `N passed, N failed` (and `, N skipped`).
import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import { root } from "./run.mjs";

/** The closing line for these counts. */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

/** Where `npm test` wants the counts; without it the reporter prints the closing line itself. */
export const SUMMARY = "CHAINRULE_TEST_SUMMARY";

export default class ClosingLine {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const files = [];
    for (const module of modules) {
      let failedTests = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") counts.passed++;
        else if (state === "failed") failedTests++;
        else counts.skipped++; // skipped, or pending because the run was cut short
      }
      counts.failed += failedTests;
      // A file that could not be loaded, or a hook that failed, has no failing test and is a failure all the same.
      if (failedTests === 0 && module.state() === "failed") counts.failed++;
      const { duration, collectDuration, setupDuration } = module.diagnostic();
      files.push({ name: relative(root, module.moduleId), ms: duration + collectDuration + setupDuration });
    }
    if (files.length > 1) {
      console.log("slowest files");
      for (const { name, ms } of files.toSorted((a, b) => b.ms - a.ms).slice(0, 10)) {
        console.log(`  ${(ms / 1000).toFixed(1).padStart(7)} s  ${name}`);
      }
    }
    const summary = process.env[SUMMARY];
    if (summary === undefined) console.log(closingLine(counts));
    else writeFileSync(summary, JSON.stringify(counts));
  }
}
