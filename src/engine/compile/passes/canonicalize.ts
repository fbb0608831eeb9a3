// canonicalize: each op's own simplifications (a transpose of a transpose, times one), and one order for commutative operands.
import type { Program, Value } from "../../program/index.ts";
import { bind } from "../../program/index.ts";
import { rewriteProgram } from "../rewrite.ts";

export function canonicalize(program: Program): Program {
  const uses = new Map<Value, number>();
  for (const value of [...program.equations.flatMap(({ inputs }) => inputs), ...program.outputs])
    uses.set(value, (uses.get(value) ?? 0) + 1);
  return rewriteProgram(program, ({ op, attrs, inputs: old }, inputs, producer) => {
    const alone = (input: number): boolean => uses.get(old[input]!) === 1;
    const simpler = op.simplify?.({ inputs, attrs, producer, alone });
    if (simpler !== undefined) return simpler;
    if (op.traits.commutative === true && inputs.length === 2 && inputs[0]!.id > inputs[1]!.id) {
      return bind(op, [inputs[1]!, inputs[0]!] as readonly Value[], attrs);
    }
    return undefined;
  });
}
