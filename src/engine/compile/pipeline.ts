// The compiler on one page: an ordered, named list of passes, then lowering and the memory plan.
import { forEachCall, verifyPlan, type Plan } from "../plan/index.ts";
import { verifyProgram, type Program } from "../program/index.ts";
import { lower } from "./lower.ts";
import { canonicalize } from "./passes/canonicalize.ts";
import { cse } from "./passes/cse.ts";
import { dce } from "./passes/dce.ts";
import { epilogue } from "./passes/epilogue.ts";
import { fuse } from "./passes/fuse.ts";
import { fold } from "./passes/fold.ts";
import { legalize } from "./passes/legalize.ts";
import { remake } from "./passes/remake.ts";
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
  { name: "remake", run: remake },
  { name: "fuse", run: fuse },
  { name: "epilogue", run: epilogue },
];

/** What a pass did. Lowering is the last one: from equations to kernel calls, loops' bodies included. */
export interface PassReport {
  readonly pass: string;
  /** Equations before and after; calls after lowering. */
  readonly before: number;
  readonly after: number;
  /** Whether the program is another one. */
  readonly changed: boolean;
  readonly ms: number;
}

export interface CompileOptions {
  /** Inputs whose memory the outputs may take over. */
  readonly donate?: readonly number[];
  /** Checks the program after each pass, and the plan. */
  readonly verify?: boolean;
  /** Told of each pass, with the program it produced; of lowering too. */
  readonly onPass?: (report: PassReport, program: Program) => void;
}

/** A program made into a plan for a target. */
export function compile(program: Program, target: Target, options: CompileOptions = {}): Plan {
  const { verify = false, donate = [] } = options;
  const optimizeBody = (body: Program): Program => optimize(body, target, { verify });
  const optimized = optimize(program, target, options);
  const start = performance.now();
  const plan = lower(optimized, { target, donate, optimizeBody });
  const ms = performance.now() - start;
  let calls = 0;
  forEachCall(plan.steps, () => calls++);
  options.onPass?.({ pass: "lower", before: optimized.equations.length, after: calls, changed: true, ms }, optimized);
  if (verify) verifyPlan(plan);
  return plan;
}

/** The passes alone. */
export function optimize(program: Program, target: Target, options: CompileOptions = {}): Program {
  for (const { name, run } of passes) {
    const start = performance.now();
    const next = run(program, target);
    const ms = performance.now() - start;
    if (options.verify === true) verifyProgram(next, `after ${name}`);
    const [before, after] = [program.equations.length, next.equations.length];
    options.onPass?.({ pass: name, before, after, changed: next !== program, ms }, next);
    program = next;
  }
  return program;
}
