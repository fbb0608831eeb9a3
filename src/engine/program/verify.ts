// The rules every program keeps; checked between compiler passes in tests.
import { formatType, sameType, VerifyError } from "../core/index.ts";
import type { Program } from "./program.ts";
import type { Value } from "./value.ts";

/** Throws VerifyError unless each value is defined once, before its use, with the type its op's rule gives. */
export function verifyProgram(program: Program, where: string = "program"): void {
  const defined = new Set<Value>();
  const define = (value: Value): void => {
    if (defined.has(value)) throw new VerifyError(where, `${value.toString()} is defined twice`);
    defined.add(value);
  };
  program.inputs.forEach(define);
  program.equations.forEach(({ op, inputs, attrs, outputs }, index) => {
    for (const input of inputs) {
      if (!defined.has(input))
        throw new VerifyError(where, `equation ${index} (${op.name}) reads ${input.toString()} before it is defined`);
    }
    const types = op.shape(inputs, attrs);
    if (types.length !== outputs.length) {
      throw new VerifyError(
        where,
        `equation ${index} (${op.name}) has ${outputs.length} outputs, its rule gives ${types.length}`,
      );
    }
    types.forEach((type, i) => {
      if (!sameType(type, outputs[i]!)) {
        throw new VerifyError(
          where,
          `equation ${index} (${op.name}) output ${i} is ${formatType(outputs[i]!)}, its rule gives ${formatType(type)}`,
        );
      }
    });
    outputs.forEach(define);
  });
  for (const output of program.outputs) {
    if (!defined.has(output)) throw new VerifyError(where, `output ${output.toString()} is never defined`);
  }
}
