// Program: inputs, equations in order, outputs. The one intermediate form of everything that is traced.
import type { Op } from "./op.ts";
import type { Value } from "./value.ts";
import { printProgram } from "./print.ts";

/** One application of an op. It holds the record itself: no registry, no switch on names. */
export interface Equation {
  readonly op: Op;
  readonly inputs: readonly Value[];
  readonly attrs: never;
  readonly outputs: readonly Value[];
}

/** A straight-line program in single-assignment form. */
export class Program {
  readonly inputs: readonly Value[];
  readonly equations: readonly Equation[];
  readonly outputs: readonly Value[];

  constructor(inputs: readonly Value[], equations: readonly Equation[], outputs: readonly Value[]) {
    this.inputs = inputs;
    this.equations = equations;
    this.outputs = outputs;
  }

  /** The program as text, one equation a line. */
  toString(): string {
    return printProgram(this);
  }
}
