// cse: an equation that was already computed from the same values is not computed again.
import type { Program, Value } from "../../program/index.ts";
import { attrsKey, identityOf, rewriteProgram } from "../rewrite.ts";

export function cse(program: Program): Program {
  const seen = new Map<string, readonly Value[]>();
  return rewriteProgram(program, ({ op, attrs, outputs }, inputs) => {
    if (op.traits.opaque === true) return undefined;
    const key = `${identityOf(op)} ${inputs.map((value) => value.id).join()} ${attrsKey(attrs)}`;
    const known = seen.get(key);
    if (known === undefined) seen.set(key, outputs);
    return known;
  });
}
