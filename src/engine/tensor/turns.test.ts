// Several calls in one: carried values change places, slices move on, and a turn may be the last.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HostArray } from "../core/index.ts";
import { defaultDevice, jit, setDefaultDevice, tensor, type DeviceName, type Tensor } from "./index.ts";

const before = defaultDevice().name as DeviceName;
beforeAll(() => {
  setDefaultDevice("native");
});
afterAll(() => {
  setDefaultDevice(before);
});

type Pair = { readonly a: Tensor; readonly b: Tensor; readonly c: Tensor };
type Rest = { readonly seen: Tensor; readonly more: Tensor };

// a and b change places in memory, c stays where it is, `kept` is handed through.
const step = jit(
  ({ a, b, c }: Pair, x: Tensor): readonly [Pair, Rest] => [
    { a: b, b: a.add(b), c: c.add(x.sum()) },
    { seen: a.add(x), more: c.less(20) },
  ],
  { donate: [0] },
);

const start = (): Pair => ({ a: tensor([0, 1, 2]), b: tensor([1, 1, 1]), c: tensor(0) });
const rows = (n: number): Tensor =>
  tensor(
    new HostArray(
      "float32",
      [n, 3],
      Float32Array.from({ length: 3 * n }, (_, i) => i % 5),
    ),
  );

describe.runIf(before === "native")("turns", () => {
  it("give what single calls give", async () => {
    for (const n of [1, 2, 3]) {
      let state = start();
      const seen: unknown[] = [];
      for (let i = 0; i < n; i++) {
        const [next, rest] = step(
          state,
          tensor(
            rows(n)
              .host()
              .rows(i, i + 1)
              .reshape([3]),
          ),
        );
        state = next;
        seen.push(rest.seen.toNested());
      }
      for (const way of ["run", "runAsync"] as const) {
        const call = step.turns({ count: n, slices: [1] }, start(), rows(n))!;
        const { done, result } = await call[way]();
        expect(done).toBe(n);
        expect(result[1].seen.toNested()).toEqual(seen);
        for (const name of ["a", "b", "c"] as const) expect(result[0][name].toNested()).toEqual(state[name].toNested());
      }
    }
  });

  it("end with the turn that says so", () => {
    // c grows by the sum of a row and is looked at before: 0, 3, 10, 15, 21 …
    const { done, result } = step
      .turns({ count: 9, slices: [1], goOn: ([, { more }]) => more }, start(), rows(9))!
      .run();
    expect(result[1].more.host().toFlat().slice(0, done)).toEqual([...Array.from({ length: done - 1 }, () => 1), 0]);
    expect(done).toBeLessThan(9);
  });

  it("use the first argument up", () => {
    const state = start();
    step.turns({ count: 2, slices: [1] }, state, rows(2))!.run();
    expect(() => state.c.item()).toThrow(/donated/);
  });

  it("refuse slices that are too few", () => {
    expect(() => step.turns({ count: 4, slices: [1] }, start(), rows(3))).toThrow(/input 3 must be float32\[4,3\]/);
  });
});
