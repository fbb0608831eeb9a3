// legalize: ops without a kernel on the target are replaced by their decomposition, until every equation has one.
import { BackendError } from "../../core/index.ts";
import { constant } from "../../ops/index.ts";
import type { Program } from "../../program/index.ts";
import { rewriteProgram, type Rewrite } from "../rewrite.ts";
import type { Target } from "../target.ts";

/** Throws BackendError, naming the op, where there is neither a kernel nor a decomposition. */
export function legalize(program: Program, target: Target): Program {
  let expanded = false;
  const rewrite: Rewrite = ({ op, attrs, outputs }, inputs) => {
    // Loops and constants are the plan's own.
    if (
      op.loop !== undefined ||
      op === (constant.op as never) ||
      target.lower({ op, attrs, inputs, outputs }) !== undefined
    )
      return undefined;
    if (op.decompose === undefined) {
      throw new BackendError(target.name, `has no kernel for \`${op.name}\``, {
        hint: "give the op a decomposition, or the backend a kernel",
      });
    }
    expanded = true;
    return op.decompose(inputs, attrs);
  };
  for (;;) {
    expanded = false;
    program = rewriteProgram(program, rewrite);
    if (!expanded) return program;
  }
}
