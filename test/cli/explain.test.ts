// `chainrule explain` as a user runs it: text, JSON, a page, and what is refused.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "chainrule-explain-"));
afterAll(() => rmSync(folder, { recursive: true }));

function explain(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, "explain", ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    env: { ...process.env, CHAINRULE_DEVICE: "reference", NO_COLOR: "1" },
  });
  return { code: status, out: stdout, err: stderr };
}

it("explains a digit by a fresh network, as text and as a page", () => {
  const html = join(folder, "explain.html");
  const { code, out, err } = explain("--html", html, "--sample", "3", "--checks", "1");
  expect({ code, err }).toEqual({ code: 0, err: `page: ${html}\n` });
  for (const step of ["1  Forward", "2  Loss", "3  Backward", "4  Update", "Check"]) expect(out).toContain(step);
  expect(out).toContain("δ⁽²⁾ = (W⁽³⁾ᵀ δ⁽³⁾) ⊙ relu′(z⁽²⁾)");
  expect(out).not.toContain("\u001b");
  const page = readFileSync(html, "utf8");
  expect(page.startsWith("<!doctype html>")).toBe(true);
  expect(page.length).toBeLessThan(1_500_000);
});

it("speaks JSON, and the same seed says the same", () => {
  const first = explain("--json", "--learning-rate", "0.5", "--checks", "1");
  expect(first.code).toBe(0);
  const { learningRate, layers, checks } = JSON.parse(first.out) as {
    learningRate: number;
    layers: { activation: { shape: number[] } }[];
    checks: { relativeError: number }[];
  };
  expect(learningRate).toBe(0.5);
  expect(layers.map(({ activation }) => activation.shape)).toEqual([[128], [64], [10]]);
  expect(Math.max(...checks.map(({ relativeError }) => relativeError))).toBeLessThan(1e-6);
  expect(explain("--json", "--learning-rate", "0.5", "--checks", "1").out === first.out).toBe(true);
});

it.each([
  [["--sample", "5000"], 1, "1000 test digits"],
  [["--sample", "-1"], 2, "whole number"],
  [["--learning-rate", "0"], 2, "number > 0"],
  [[join(tmpdir(), "no-such-run")], 1, "no model"],
])("refuses %j", (args, code, message) => {
  const result = explain(...args);
  expect({ code: result.code, out: result.out }).toEqual({ code, out: "" });
  expect(result.err).toContain(message);
});
