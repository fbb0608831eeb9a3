// Every build keeps the budgets of bench/budgets.ts: speed as ratios, plans by their calls and bytes.
import { describe, expect, it } from "vitest";
import { budgets, keeps, type Budget } from "../../bench/budgets.ts";
import { BackendError } from "../../src/engine/core/index.ts";
import { device } from "../../src/engine/runtime/index.ts";

/** A busy machine spoils a measurement, never all of so many. */
const TRIES = 6;

function nativeRuns(): boolean {
  try {
    return device("native").name === "native";
  } catch (error) {
    if (error instanceof BackendError) return false;
    throw error;
  }
}

const here = nativeRuns();

describe("the budget", () => {
  for (const budget of budgets) {
    it.runIf(here || !budget.native)(`${budget.name} (${JSON.stringify(budget.limit)})`, () => {
      const values: number[] = [];
      do values.push(budget.measure());
      while (!keeps(budget, values.at(-1)!) && values.length < TRIES);
      expect(keeps(budget, values.at(-1)!), `measured ${values.join(", ")} ${budget.unit}`).toBe(true);
    });
  }

  it("that is not kept is noticed", () => {
    const budget = (limit: Budget["limit"]): Budget => ({ ...budgets[0]!, limit });
    expect(keeps(budget({ atLeast: 0.6 }), 0.59)).toBe(false);
    expect(keeps(budget({ atMost: 50 }), 51)).toBe(false);
    expect(keeps(budget({ atMost: 50 }), NaN)).toBe(false);
  });
});
