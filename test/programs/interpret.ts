// The meaning of a program: what compiled programs are held against.
import { sizeOf } from "../../src/engine/core/index.ts";
import { trace, type Numbers, type Program, type Value } from "../../src/engine/program/index.ts";

/** The outputs of a program, without compiler or plan: each op's own evaluation in float64, loops turn by turn. */
export function interpret(program: Program, inputs: readonly Numbers[]): Numbers[] {
  const env = new Map<Value, Numbers>(program.inputs.map((input, i) => [input, inputs[i]!]));
  for (const { op, inputs: args, attrs, outputs } of program.equations) {
    const numbers = args.map((arg) => env.get(arg)!);
    const loop = op.loop?.(attrs);
    let results: readonly Numbers[];
    if (loop !== undefined) {
      const { body, consts, carries, length, reverse } = loop;
      let carry = numbers.slice(consts, consts + carries);
      const ys = outputs.slice(carries).map((y) => new Float64Array(sizeOf(y.shape)));
      for (let t = 0; t < length; t++) {
        const i = reverse ? length - 1 - t : t;
        const slices = numbers
          .slice(consts + carries)
          .map((x) => x.subarray((i * x.length) / length, ((i + 1) * x.length) / length));
        const turn = interpret(body, [...numbers.slice(0, consts), ...carry, ...slices]);
        carry = turn.slice(0, carries);
        turn.slice(carries).forEach((y, k) => ys[k]!.set(y, i * y.length));
      }
      results = [...carry, ...ys];
    } else if (op.evaluate !== undefined) results = op.evaluate(numbers, attrs, { inputs: args, outputs });
    else {
      const decompose = op.decompose!;
      results = interpret(trace(args, (values) => decompose(values, attrs)).program, numbers);
    }
    outputs.forEach((output, i) => env.set(output, results[i]!));
  }
  return program.outputs.map((output) => env.get(output)!);
}
