// Schedules: the same on the host and in a trace, and their values at the corners.
import { beforeAll, describe, expect, it } from "vitest";
import { jit, setDefaultDevice, tensor, type Tensor } from "../../engine/tensor/index.ts";
import { chain, type TensorMap } from "./transformation.ts";
import { clipByGlobalNorm, clipByNorm, clipByValue, globalNorm } from "./clip.ts";
import { scaleBySchedule } from "./scale.ts";
import type { Schedule } from "./schedule.ts";
import {
  constant,
  cosineDecay,
  exponentialDecay,
  linearDecay,
  piecewise,
  scheduleFrom,
  stepDecay,
  warmup,
  warmupStableDecay,
} from "./schedules.ts";

beforeAll(() => {
  setDefaultDevice("reference");
});

const table: readonly (readonly [schedule: Schedule, values: readonly (readonly [step: number, value: number])[]])[] = [
  [
    constant(0.1),
    [
      [0, 0.1],
      [1e6, 0.1],
    ],
  ],
  [
    piecewise({ boundaries: [2, 5], values: [1, 0.5, 0.1] }),
    [
      [0, 1],
      [2, 1],
      [3, 0.5],
      [5, 0.5],
      [6, 0.1],
      [99, 0.1],
    ],
  ],
  [
    stepDecay({ initial: 1, factor: 0.5, every: 49 }),
    [
      [0, 1],
      [48, 1],
      [49, 0.5],
      [98, 0.25],
      [97, 0.5],
    ],
  ],
  [
    exponentialDecay({ initial: 2, decaySteps: 10, rate: 0.25 }),
    [
      [0, 2],
      [5, 1],
      [10, 0.5],
      [20, 0.125],
    ],
  ],
  [
    exponentialDecay({ initial: 2, decaySteps: 10, rate: 0.25, staircase: true }),
    [
      [9, 2],
      [10, 0.5],
      [19, 0.5],
    ],
  ],
  [
    cosineDecay({ initial: 2, decaySteps: 10 }),
    [
      [0, 2],
      [5, 1],
      [10, 0],
      [30, 0],
    ],
  ],
  [
    cosineDecay({ initial: 2, decaySteps: 10, alpha: 0.1 }),
    [
      [0, 2],
      [5, 1.1],
      [10, 0.2],
      [30, 0.2],
    ],
  ],
  [
    linearDecay({ initial: 1, decaySteps: 4, end: 0.2 }),
    [
      [0, 1],
      [1, 0.8],
      [2, 0.6],
      [4, 0.2],
      [9, 0.2],
    ],
  ],
  [
    warmup(linearDecay({ initial: 1, decaySteps: 4 }), { steps: 2 }),
    [
      [0, 0],
      [1, 0.5],
      [2, 1],
      [3, 0.75],
      [6, 0],
    ],
  ],
  [
    warmup(constant(1), { steps: 4, from: 0.2 }),
    [
      [0, 0.2],
      [2, 0.6],
      [4, 1],
      [5, 1],
    ],
  ],
  [
    warmupStableDecay({ peak: 1, warmupSteps: 2, stableSteps: 3, decaySteps: 4, end: 0.2 }),
    [
      [0, 0],
      [1, 0.5],
      [2, 1],
      [5, 1],
      [7, 0.6],
      [9, 0.2],
      [50, 0.2],
    ],
  ],
  [
    warmupStableDecay({ peak: 1, warmupSteps: 2, stableSteps: 3, decaySteps: 4, shape: "sqrt" }),
    [
      [5, 1],
      [6, 0.5],
      [9, 0],
    ],
  ],
  [
    warmupStableDecay({ peak: 1, warmupSteps: 2, stableSteps: 3, decaySteps: 4, shape: "cosine" }),
    [
      [5, 1],
      [7, 0.5],
      [9, 0],
    ],
  ],
];

describe.each(table.map(([schedule, values]) => [JSON.stringify(schedule.config), schedule, values] as const))(
  "%s",
  (_, schedule, values) => {
    it("has these values", () => {
      for (const [step, value] of values) expect(schedule.at(step), `at ${step}`).toBeCloseTo(value, 12);
    });
    it("is the same in a trace", () => {
      const traced = jit((step: Tensor) => schedule.of(step));
      for (let step = 0; step <= 60; step++) {
        expect(traced(tensor(step, { dtype: "int32" })).item()).toBeCloseTo(schedule.at(step), 6);
      }
    });
    it("comes back from its config", () => {
      const again = scheduleFrom(JSON.parse(JSON.stringify(schedule.config)));
      for (let step = 0; step <= 60; step++) expect(again.at(step)).toBe(schedule.at(step));
    });
  },
);

describe("schedules", () => {
  it("refuse options without sense", () => {
    expect(() => piecewise({ boundaries: [5, 2], values: [1, 2, 3] })).toThrow(/must rise/);
    expect(() => piecewise({ boundaries: [5], values: [1] })).toThrow(/one value more/);
    expect(() => cosineDecay({ initial: -1, decaySteps: 10 })).toThrow(/`initial`/);
    expect(() => linearDecay({ initial: 1, decaySteps: 0 })).toThrow(/`decaySteps`/);
    expect(() =>
      warmupStableDecay({ peak: 1, warmupSteps: 1, stableSteps: 1, decaySteps: 1, shape: "round" as never }),
    ).toThrow(/`shape`/);
    expect(() => scheduleFrom({ schedule: "unknown" })).toThrow(/there is no schedule "unknown"/);
  });
  it("scale updates in a chain", () => {
    const scaled = scaleBySchedule(linearDecay({ initial: 1, decaySteps: 4 }));
    const params = { p: tensor(0) };
    let state = scaled.init(params);
    const seen = [0, 1, 2].map(() => {
      const next = scaled.update({ p: tensor(8) }, state, params);
      state = next.state;
      return next.updates["p"]!.item();
    });
    expect(seen).toEqual([8, 6, 4]);
  });
});

describe("clipping", () => {
  const made = (): TensorMap => ({ a: tensor([3, -4]), b: tensor([12]) });
  const clip = (t: ReturnType<typeof clipByValue>): unknown[] =>
    Object.values(t.update(made(), t.init(made()), made()).updates).map((x) => x.toNested());
  it("by value, by norm, by the norm of all", () => {
    expect(globalNorm(made()).item()).toBe(13);
    expect(clip(clipByValue(3.5))).toEqual([[3, -3.5], [3.5]]);
    expect(clip(clipByNorm(5))).toEqual([[3, -4], [5]]);
    expect(clip(clipByNorm(2.5))).toEqual([[1.5, -2], [2.5]]);
    expect(clip(clipByGlobalNorm(6.5))).toEqual([[1.5, -2], [6]]);
    expect(clip(clipByGlobalNorm(13))).toEqual([[3, -4], [12]]);
    expect(clip(chain(clipByValue(3.5), clipByNorm(3.5)))[1]).toEqual([3.5]);
  });
  it("refuses limits without sense", () => {
    expect(() => clipByValue(0)).toThrow(/above 0/);
    expect(() => clipByGlobalNorm(-1)).toThrow(/`limit`/);
  });
});
