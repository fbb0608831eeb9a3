// How a command fails: what it prints and the exit code it leaves.
import { CommanderError } from "commander";
import { ChainruleError } from "../engine/core/index.ts";
import { Output, type GlobalOptions } from "./output.ts";

/** 0: done · 1: the work failed, for a reason the text names · 2: the command line is wrong · 70: a defect of this program. */
export const EXIT = { done: 0, failed: 1, usage: 2, defect: 70, interrupted: 130 } as const;

/** Raised by a command that has said everything and only leaves a code: `chainrule doctor` where something is missing. */
export class ExitError extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** Prints an error as its kind wants and returns the exit code. */
export function fail(error: unknown, options: GlobalOptions): number {
  const { json, debug } = options;
  const { progressColors: colors } = new Output(options);
  if (error instanceof ExitError) return error.code;
  // Help and version end by an error too; commander has printed what there is to say.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
  if (error instanceof ChainruleError || isSystemError(error)) {
    if (json) process.stdout.write(`${JSON.stringify({ error: describe(error) }, undefined, 2)}\n`);
    else process.stderr.write(`${colors.red(error.name)}: ${error.message}\n`);
    if (debug) process.stderr.write(`${error.stack ?? ""}\n`);
    return EXIT.failed;
  }
  // Nobody meant this one to happen: the stack is the most useful thing there is to show.
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  if (json) process.stdout.write(`${JSON.stringify({ error: { type: "defect", problem: stack } }, undefined, 2)}\n`);
  process.stderr.write(
    `${stack}\n${colors.dim("This is a defect of chainrule; please report it with the lines above.")}\n`,
  );
  return EXIT.defect;
}

function describe(error: Error): object {
  if (!(error instanceof ChainruleError)) return { type: error.name, problem: error.message };
  const { name, where, problem, hint, path } = error;
  return { type: name, where, problem, hint, path: path.length > 0 ? path : undefined };
}

// Missing files, full disks, refused permissions: the system's text says what is wrong.
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}
