// Plans with a planted defect are refused; sound ones, with views, sharing and loops, pass.
import { expect, test } from "vitest";
import { Plan, type LoopCall, type Place, type PlanStep } from "./plan.ts";
import { verifyPlan } from "./verify.ts";

const slot = (number: number): Place => ({ kind: "external", slot: number });
const arena = (offset: number): Place => ({ kind: "arena", offset });
const call = (op: string, inputs: number[], outputs: number[]): PlanStep => ({
  kind: "kernel",
  kernel: op,
  op,
  inputs,
  outputs,
  params: [],
  flops: 0,
});

// Buffer 0 is the input, 1 the output, the others temporaries of 16 floats: one stretch of 64 bytes each.
function plan(steps: readonly PlanStep[], places: readonly Place[], arenaBytes: number = 128): Plan {
  return new Plan({
    buffers: [slot(0), slot(1), ...places].map((place) => ({ dtype: "float32", shape: [16], place })),
    steps,
    arenaBytes,
    inputs: [0],
    outputs: [1],
    donations: [-1],
    constants: [],
  });
}

test("a chain of calls passes", () => {
  const shared = arena(0);
  // Buffer 3 takes the place of 2, buffer 4 is a view of it.
  const steps = [call("sin", [0], [2]), call("cos", [2], [3]), call("neg", [4], [1])];
  expect(() => verifyPlan(plan(steps, [shared, shared, shared]))).not.toThrow();
});

test("a value that was overwritten is found", () => {
  const steps = [call("sin", [0], [2]), call("cos", [0], [3]), call("add", [2, 3], [1])];
  expect(() => verifyPlan(plan(steps, [arena(0), arena(64)]))).not.toThrow();
  expect(() => verifyPlan(plan(steps, [arena(0), arena(0)]))).toThrow(
    "add reads buffer 2 (float32[16] at @0), which was overwritten",
  );
});

test("a value that was never written is found", () => {
  expect(() => verifyPlan(plan([call("neg", [2], [1])], [arena(0)]))).toThrow("which was never written");
  expect(() => verifyPlan(plan([], []))).toThrow("output 0 reads buffer 1");
});

test("two results of one call in one place are found", () => {
  const steps = [call("sort", [0], [2, 3]), call("neg", [2], [1])];
  expect(() => verifyPlan(plan(steps, [arena(0), arena(0)]))).toThrow("sort reads buffer 2");
});

test("a result across an operand is found", () => {
  const steps = [call("sin", [0], [2]), call("cos", [2], [3]), call("neg", [3], [1])];
  expect(() => verifyPlan(plan(steps, [arena(0), arena(0)]))).toThrow("cos writes across buffer 2");
});

test("memory that is too small is found", () => {
  const steps = [call("sin", [0], [2]), call("neg", [2], [1])];
  expect(() => verifyPlan(plan(steps, [arena(128)]))).toThrow("ends at 192, behind its memory of 128 bytes");
  const viewed = plan([call("sin", [0], [2])], [slot(1)]);
  const short = new Plan({ ...viewed, buffers: viewed.buffers.with(1, { ...viewed.buffers[1]!, shape: [8] }) });
  expect(() => verifyPlan(short)).toThrow("buffer 2 (float32[16] at $1) ends at 64, behind its memory of 32 bytes");
});

test("a loop whose second turn would read what the first overwrote is found", () => {
  const loop = (body: readonly PlanStep[], count: number): LoopCall => ({
    kind: "loop",
    count,
    reverse: false,
    reads: [],
    body,
    writes: [],
    carries: [{ from: 4, to: 3 }],
  });
  // Buffer 2 comes from before the loop, 3 is its carry; the body computes 4 from both.
  const shared = arena(0);
  const steps = (count: number): PlanStep[] => [
    call("sin", [0], [2]),
    call("copy", [0], [3]),
    loop([call("add", [2, 3], [4])], count),
    call("neg", [3], [1]),
  ];
  expect(() => verifyPlan(plan(steps(2), [arena(0), arena(64), arena(128)], 192))).not.toThrow();
  expect(() => verifyPlan(plan(steps(1), [shared, arena(64), shared]))).not.toThrow();
  expect(() => verifyPlan(plan(steps(2), [shared, arena(64), shared]))).toThrow("add reads buffer 2");
});
