// What a command says: results on stdout, progress on stderr, colours only where a terminal shows them.
import pc from "picocolors";
import type { Command } from "commander";

/** The options every command takes. */
export interface GlobalOptions {
  /** Results as one JSON document on stdout. */
  readonly json: boolean;
  /** Errors with their stack. */
  readonly debug: boolean;
}

type Colors = ReturnType<typeof pc.createColors>;

/** Where a command writes. Progress never mixes with results, so that `chainrule … --json | jq` works. */
export class Output {
  readonly json: boolean;
  /** Colours for stdout. */
  readonly colors: Colors;
  /** Colours for stderr. */
  readonly progressColors: Colors;

  constructor(options: GlobalOptions) {
    this.json = options.json;
    this.colors = pc.createColors(!options.json && colored(process.stdout));
    this.progressColors = pc.createColors(colored(process.stderr));
  }

  /** The result: `data` as JSON with `--json`, else the text that `print` makes of it. */
  result<T>(data: T, print: (data: T) => string): void {
    process.stdout.write(`${this.json ? JSON.stringify(data, undefined, 2) : print(data)}\n`);
  }

  /** A line about what is going on. */
  progress(line: string): void {
    process.stderr.write(`${line}\n`);
  }
}

/** The output for the command that is running. */
export function outputOf(command: Command): Output {
  return new Output(globalOptions(command));
}

/** The options of the program itself, wherever on the line they stood. */
export function globalOptions(command: Command): GlobalOptions {
  const { json = false, debug = false } = command.optsWithGlobals<Partial<GlobalOptions>>();
  return { json, debug };
}

/** Rows as columns of equal width; the last column is not padded. */
export function columns(rows: readonly (readonly string[])[], indent: string = ""): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, width(cell))));
  const pad = (cell: string, i: number): string => cell + " ".repeat(widths[i]! - width(cell));
  return rows
    .map((row) => indent + row.map((cell, i) => (i === row.length - 1 ? cell : pad(cell, i))).join("  "))
    .join("\n");
}

// Colour codes take no room on the screen.
function width(text: string): number {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\x1b\[\d+m/g, "").length;
}

function colored(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== "") return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "0") return true;
  // Not a terminal: `isTTY` is undefined then, whatever its type says, and undefined would leave the choice to the library.
  return Boolean(stream.isTTY) && TERM !== "dumb";
}
