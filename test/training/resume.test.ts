// N steps, save, M steps = N + M steps: weights, optimizer, key, place in the data, losses and history, bit for bit.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { temporaryFolder } from "../built-package.ts";
import { child, loadCases, type CaseResult, type Cases } from "./built.ts";

let cases: Cases;
let folder = "";
beforeAll(async () => {
  cases = await loadCases();
  folder = temporaryFolder();
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

const COUNT = 56;
const IN_NEW_PROCESSES = 6;

function expectSame(first: CaseResult, second: CaseResult, whole: CaseResult): void {
  expect(second.hash).toBe(whole.hash);
  expect({ ...first.losses, ...second.losses }).toEqual(whole.losses);
  expect(second.history).toEqual(whole.history);
}

describe("resume", () => {
  it(`is exact in ${COUNT} random cases through fresh objects`, async () => {
    let midEpoch = 0;
    for (let number = 0; number < COUNT; number++) {
      const { title, stopAt } = cases.makeCase(number);
      const whole = await cases.runCase(number);
      const at = join(folder, String(number));
      const first = await cases.runCase(number, { folder: at, stopAt });
      const second = await cases.runCase(number, { folder: at });
      try {
        expectSame(first, second, whole);
      } catch (error) {
        throw new Error(`case ${title}, interrupted after step ${stopAt}`, { cause: error });
      }
      if (Object.keys(second.losses).length > 0 && first.history.epoch.length < whole.history.epoch.length) midEpoch++;
    }
    expect(midEpoch).toBeGreaterThan(COUNT / 4);
  });

  it(`is exact in ${IN_NEW_PROCESSES} cases with a new process for each part`, async () => {
    for (let i = 0; i < IN_NEW_PROCESSES; i++) {
      const number = 1000 + i;
      const { stopAt } = cases.makeCase(number);
      const at = join(folder, String(number));
      const first = await child<CaseResult>({ mode: "case", number, folder: at, stopAt });
      const second = await child<CaseResult>({ mode: "case", number, folder: at });
      expectSame(first, second, JSON.parse(JSON.stringify(await cases.runCase(number))) as CaseResult);
    }
  });

  it("finds interruption in every part of a run", () => {
    const parts = Array.from({ length: COUNT }, (_, number) => {
      const { stopAt, steps } = cases.makeCase(number);
      return Math.floor((4 * (stopAt - 1)) / steps);
    });
    expect(new Set(parts)).toEqual(new Set([0, 1, 2, 3]));
  });
});
