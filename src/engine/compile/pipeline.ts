// The compiler on one page: an ordered, named list of passes, then lowering and the memory plan.
import { verifyPlan, type Plan } from "../plan/index.ts";
import { verifyProgram, type Program } from "../program/index.ts";
import { lower } from "./lower.ts";
import { canonicalize } from "./passes/canonicalize.ts";
import { cse } from "./passes/cse.ts";
import { dce } from "./passes/dce.ts";
import { fuse } from "./passes/fuse.ts";
import { fold } from "./passes/fold.ts";
import { legalize } from "./passes/legalize.ts";
import { schedule } from "./passes/schedule.ts";
import { sink } from "./passes/sink.ts";
import type { Target } from "./target.ts";

/** One step of the compiler: program to program. */
export interface Pass {
  readonly name: string;
  readonly run: (program: Program, target: Target) => Program;
}

/** Every pass, in the order it runs. */
export const passes: readonly Pass[] = [
  { name: "dce", run: dce }, // first: what nobody reads need not be legal
  { name: "legalize", run: legalize },
  { name: "canonicalize", run: canonicalize },
  { name: "fold", run: fold },
  { name: "cse", run: cse },
  { name: "dce", run: dce },
  { name: "schedule", run: schedule },
  { name: "sink", run: sink },
  { name: "fuse", run: fuse },
];

export interface CompileOptions {
  /** Inputs whose memory the outputs may take over. */
  readonly donate?: readonly number[];
  /** Checks the program after each pass, and the plan. */
  readonly verify?: boolean;
  /** Told of each pass with the program it produced. */
  readonly onPass?: (name: string, program: Program) => void;
}

/** A program made into a plan for a target. */
export function compile(program: Program, target: Target, options: CompileOptions = {}): Plan {
  const { verify = false, donate = [] } = options;
  const optimizeBody = (body: Program): Program => optimize(body, target, { verify });
  const plan = lower(optimize(program, target, options), { target, donate, optimizeBody });
  if (verify) verifyPlan(plan);
  return plan;
}

/** The passes alone. */
export function optimize(program: Program, target: Target, options: CompileOptions = {}): Program {
  for (const pass of passes) {
    program = pass.run(program, target);
    if (options.verify === true) verifyProgram(program, `after ${pass.name}`);
    options.onPass?.(pass.name, program);
  }
  return program;
}
