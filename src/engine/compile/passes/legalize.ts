// legalize: ops without a kernel on the target are replaced by their decomposition, until every equation has one.
import { BackendError } from "../../core/index.ts";
import { constant } from "../../ops/index.ts";
import type { Program, Value } from "../../program/index.ts";
import { rewriteProgram, type Rewrite } from "../rewrite.ts";
import type { Target } from "../target.ts";

/** Throws BackendError, naming the op, where there is neither a kernel nor a decomposition. */
export function legalize(program: Program, target: Target): Program {
  /** Results of equations that have a kernel. */
  const legal = new Set<Value>();
  const rewrite: Rewrite = ({ op, attrs, outputs }, inputs) => {
    if (legal.has(outputs[0]!)) return undefined;
    // Loops and constants are the plan's own.
    const own = op.loop !== undefined || op === (constant.op as never);
    const context = { op, attrs, inputs, outputs };
    if (own || target.fusible?.(context) === true || target.lower(context) !== undefined) {
      legal.add(outputs[0]!);
      return undefined;
    }
    if (op.decompose === undefined) {
      throw new BackendError(target.name, `has no kernel for \`${op.name}\``, {
        hint: "give the op a decomposition, or the backend a kernel",
      });
    }
    return op.decompose(inputs, attrs);
  };
  for (;;) {
    const next = rewriteProgram(program, rewrite);
    if (next === program) return program;
    program = next;
  }
}
