// Lower limits of speed, as ratios on small sizes that hold on any machine: what `npm test` holds every build to.
// Generous, because machines are shared: each is the best of several and may be tried again. A budget that breaks is a
// change by a factor, not noise. Counts (calls, bytes) have no noise and are tight.
import { defaultDevice, device, type DeviceName } from "chainrule";
import { createNative } from "chainrule/backend";
import { compile } from "chainrule/compile";
import * as ops from "chainrule/ops";
import { forEachCall, type Plan } from "chainrule/plan";
import { trace, type Value } from "chainrule/program";
import { filled, trainingStep } from "./lib/steps.ts";

/** A limit on one number. */
export interface Budget {
  readonly name: string;
  readonly unit: string;
  /** The number must be at least, or at most, this. */
  readonly limit: { readonly atLeast: number } | { readonly atMost: number };
  /** Whether it needs the native backend, which is there only where there was a compiler. */
  readonly native: boolean;
  readonly measure: () => number;
}

/** Whether a number keeps a budget. */
export function keeps({ limit }: Budget, value: number): boolean {
  return "atLeast" in limit ? value >= limit.atLeast : value <= limit.atMost;
}

type Run = () => void;

// A program of one expression on a device; the memory of its output is reused from run to run.
function kernel(
  name: DeviceName,
  shapes: readonly (readonly number[])[],
  fn: (inputs: readonly Value[]) => Value,
): Run {
  const on = device(name);
  const types = shapes.map((shape) => ({ dtype: "float32" as const, shape }));
  const executable = on.executable(trace(types, (inputs) => [fn(inputs)]).program);
  const inputs = types.map((type) =>
    on.put(
      filled("float32", type.shape, () => Math.random() - 0.5),
      type,
    ),
  );
  return () => executable.run(inputs).forEach((output) => output.dispose());
}

// The shortest time of each, taken in turns: what another program costs meanwhile falls on all alike.
function fastest(runs: readonly Run[], milliseconds: number = 400): number[] {
  const best = runs.map(() => Infinity);
  for (const run of runs) run();
  const began = performance.now();
  for (let round = 0; round < 5 || performance.now() - began < milliseconds; round++) {
    runs.forEach((run, i) => {
      const start = performance.now();
      run();
      best[i] = Math.min(best[i]!, performance.now() - start);
    });
  }
  return best;
}

function product(name: DeviceName, n: number, transposes: string = "NN"): Run {
  const flags = { transposeA: transposes[0] === "T", transposeB: transposes[1] === "T" };
  return kernel(name, [[n, n], [n, n]], ([a, b]) => ops.matmul(a!, b!, flags)); // prettier-ignore
}

function transposes(name: DeviceName): number {
  const times = fastest(["NN", "NT", "TN", "TT"].map((pair) => product(name, 512, pair)));
  return Math.min(...times) / Math.max(...times);
}

function chainAgainstOne(name: DeviceName): number {
  const shape = [2 ** 22]; // 16 MiB
  const chain = (x: Value): Value => {
    const number = (value: number): Value => ops.full(value, x);
    const scaled = ops.abs(ops.add(ops.mul(x, number(1.5)), number(0.5)));
    const moved = ops.sub(ops.mul(scaled, number(0.25)), number(1));
    return ops.mul(ops.maximum(ops.mul(moved, moved), number(0)), number(0.5));
  };
  const [fused, alone] = fastest([
    kernel(name, [shape], ([x]) => chain(x!)),
    kernel(name, [shape], ([x]) => ops.neg(x!)),
  ]);
  return alone! / fused!;
}

// Steps of the classic network with all threads through steps with one.
function threadsOfStep(): number {
  const { step, batch, ...rest } = trainingStep("mlp");
  let { state } = rest;
  const steps = (threads: number): Run => {
    return () => {
      createNative({ threads }); // the pool is the process's: this sets its size
      for (let i = 0; i < 50; i++) [state] = step(state, batch);
    };
  };
  const all = device("native").threads;
  try {
    const [one, many] = fastest([steps(1), steps(all)], 1000);
    return one! / many!;
  } finally {
    createNative({ threads: all });
  }
}

// Milliseconds from a function to a plan: traced and differentiated, then compiled.
function compileTime(): number {
  const program = classic().program;
  const [traced, compiled] = fastest([() => void classic(), () => void compile(program, defaultDevice().backend)], 300);
  return traced! + compiled!;
}

function classic(): { readonly program: Parameters<typeof compile>[0]; readonly plan: Plan } {
  const { step, state, batch } = trainingStep("mlp");
  return step.lower(state, batch);
}

function callsOf({ steps }: Plan): number {
  let calls = 0;
  forEachCall(steps, () => calls++);
  return calls;
}

/** Every budget. */
export const budgets: readonly Budget[] = [
  {
    name: "product 512: slowest / fastest of NN NT TN TT, native",
    unit: "ratio",
    limit: { atLeast: 0.5 },
    native: true,
    measure: () => transposes("native"),
  },
  {
    name: "product 512: slowest / fastest of NN NT TN TT, wasm",
    unit: "ratio",
    limit: { atLeast: 0.5 },
    native: false,
    measure: () => transposes("wasm"),
  },
  {
    name: "product 512: native / wasm",
    unit: "ratio",
    limit: { atLeast: 2 },
    native: true,
    measure: () => {
      const [wasm, native] = fastest([product("wasm", 512), product("native", 512)]);
      return wasm! / native!;
    },
  },
  {
    name: "chain of 8 ops / one op on 4M floats, native",
    unit: "ratio",
    limit: { atLeast: 0.4 },
    native: true,
    measure: () => chainAgainstOne("native"),
  },
  {
    name: "classic step: all threads / one thread, native",
    unit: "ratio",
    limit: { atLeast: 0.4 }, // 1.3 on a quiet machine; beside busy cores 0.6: what it must not do is collapse
    native: true,
    measure: threadsOfStep,
  },
  {
    name: "classic step: trace, differentiate, compile",
    unit: "ms",
    limit: { atMost: 100 },
    native: false,
    measure: compileTime,
  },
  {
    name: "classic step: kernel calls",
    unit: "calls",
    limit: { atMost: 50 },
    native: false,
    measure: () => callsOf(classic().plan),
  },
  {
    name: "classic step: arena",
    unit: "KiB",
    limit: { atMost: 640 },
    native: false,
    measure: () => classic().plan.arenaBytes / 1024,
  },
  {
    name: "gpt-small step: kernel calls",
    unit: "calls",
    limit: { atMost: 400 },
    native: false,
    measure: () => {
      const { step, state, batch } = trainingStep("gpt-small");
      return callsOf(step.lower(state, batch).plan);
    },
  },
];
