// Random programs and their gradients on every backend: what fusion, in-place memory and donation may never change.
import { afterAll, expect, test } from "vitest";
import { BackendError, HostArray } from "../../src/engine/core/index.ts";
import type { Program } from "../../src/engine/program/index.ts";
import { device, type DeviceName } from "../../src/engine/runtime/index.ts";
import { vjp } from "../../src/engine/transform/index.ts";
import { cotangents, drawSamples, mismatch } from "../../src/testing/index.ts";
import { interpret } from "./interpret.ts";
import { Choices, randomProgram } from "./random-program.ts";

process.env["CHAINRULE_VERIFY"] = "1";
process.env["CHAINRULE_POISON"] = "1";

const PROGRAMS = 300;
let largest = 0;

interface Case {
  readonly program: Program;
  readonly inputs: readonly HostArray[];
  readonly donate: readonly number[];
}

function caseOf(seed: number): Case {
  const choices = new Choices(seed);
  const { program, types } = randomProgram(choices);
  const inputs: HostArray[] = drawSamples(types, seed);
  const floats = types.flatMap(({ dtype }, i) => (dtype === "float32" ? [i] : []));
  const differentiated = choices.chance(0.4);
  const all = differentiated ? [...inputs, ...cotangents(program, seed).map(({ array }) => array)] : inputs;
  return {
    program: differentiated ? vjp(program, floats) : program,
    inputs: all,
    donate: all.flatMap((_, i) => (choices.chance(0.3) ? [i] : [])),
  };
}

// Donated inputs are gone after the call, so each run has arrays of its own.
function run({ program, inputs, donate }: Case, name: DeviceName): HostArray[] {
  const target = device(name);
  const executable = target.executable(program, donate);
  const outputs = executable.run(program.inputs.map((type, i) => target.put(inputs[i]!, type)));
  return outputs.map((output) => output.read());
}

function check(seed: number, name: DeviceName): void {
  const one = caseOf(seed);
  largest = Math.max(largest, one.program.equations.length);
  const expected = interpret(
    one.program,
    one.inputs.map((input) => Float64Array.from(input.toFlat())),
  ).map((numbers, i) => new HostArray("float64", one.program.outputs[i]!.shape, Float64Array.from(numbers)));
  const [first, second] = [run(one, name), run(one, name)];
  first.forEach((actual, i) => {
    // In float32 errors of single ops add up over the steps; an error of memory or fusion is none of the sixth digit.
    const tolerance = name === "reference" ? 1e-9 : 1e-3;
    const found = mismatch(actual, expected[i]!, { rtol: tolerance, atol: tolerance });
    if (found !== undefined) {
      const { count, total, index } = found;
      const text = `${count} of ${total} differ: at ${index} expected ${found.expected}, received ${found.actual}`;
      throw new Error(`seed ${seed}, output ${i}: ${text}\n${one.program.toString()}`);
    }
    expect(second[i]!.equals(actual), `seed ${seed}, output ${i} differs in a second run`).toBe(true);
  });
}

afterAll(() => console.log(`random programs: ${PROGRAMS} on each backend, up to ${largest} equations`));

test.each(["reference", "native", "wasm"] as const)("random programs on %s equal their interpretation", (name) => {
  try {
    device(name);
  } catch (error) {
    if (name !== "native" || !(error instanceof BackendError)) throw error;
    console.log(`native is not built: ${error.problem}`);
    return;
  }
  for (let seed = 0; seed < PROGRAMS; seed++) check(seed, name);
});
