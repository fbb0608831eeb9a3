// Probes: a zero added to a value inside a program. The gradient with respect to the zero is the gradient at that place.
import { bind, trace, type Program, type Value } from "../../engine/program/index.ts";
import { Tensor } from "../../engine/tensor/index.ts";

/**
 * The same program with one more input for each value of `at`, added to it before anything reads it.
 * With zeros there the results are what they were, and `∂L/∂probe` is `∂L/∂value`: how the loss changes if
 * something were added to the value. One backward pass gives all of them.
 */
export function withProbes(program: Program, at: readonly Value[]): Program {
  const { program: probed } = trace([...program.inputs, ...at], (args) => {
    const probes = new Map(at.map((value, i) => [value, args[program.inputs.length + i]!]));
    const env = new Map<Value, Value>();
    const define = (value: Value, now: Value): void => {
      const probe = probes.get(value);
      env.set(value, probe === undefined ? now : (new Tensor(now).add(new Tensor(probe)).content as Value));
    };
    const read = (value: Value): Value => env.get(value)!;
    program.inputs.forEach((input, i) => define(input, args[i]!));
    for (const { op, inputs, attrs, outputs } of program.equations) {
      const results = bind(op, inputs.map(read), attrs);
      outputs.forEach((output, i) => define(output, results[i]!));
    }
    return program.outputs.map(read);
  });
  return probed;
}
