// canonicalize: each op's own simplifications (a transpose of a transpose, times one), and one order for commutative operands.
import type { Program, Value } from "../../program/index.ts";
import { bind } from "../../program/index.ts";
import { rewriteProgram } from "../rewrite.ts";

export function canonicalize(program: Program): Program {
  return rewriteProgram(program, ({ op, attrs }, inputs, producer) => {
    const simpler = op.simplify?.({ inputs, attrs, producer });
    if (simpler !== undefined) return simpler;
    if (op.traits.commutative === true && inputs.length === 2 && inputs[0]!.id > inputs[1]!.id) {
      return bind(op, [inputs[1]!, inputs[0]!] as readonly Value[], attrs);
    }
    return undefined;
  });
}
