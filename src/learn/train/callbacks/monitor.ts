// Monitoring one value of the logs: which direction is better, and by how much it must get better to count.
import { ArgumentError } from "../../../engine/core/index.ts";
import type { Logs } from "../callback.ts";

/** Whether less or more is better; "auto" reads it from the name. */
export type Mode = "auto" | "min" | "max";

export interface MonitorOptions {
  /** The value to watch; default `val_loss`. */
  readonly monitor?: string;
  /** Default "auto". */
  readonly mode?: Mode;
  /** Smaller changes do not count as better. */
  readonly minDelta?: number;
}

/** One watched value. */
export class Monitor {
  readonly name: string;
  readonly direction: "min" | "max";
  readonly #minDelta: number;
  readonly #where: string;

  constructor(where: string, { monitor = "val_loss", mode = "auto", minDelta = 0 }: MonitorOptions) {
    this.name = monitor;
    this.direction = mode === "auto" ? directionOf(where, monitor) : mode;
    this.#minDelta = Math.abs(minDelta);
    this.#where = where;
  }

  /** The value in some logs; ArgumentError with the names there are where it is missing. */
  read(logs: Logs): number {
    const value = logs[this.name];
    if (value !== undefined) return value;
    throw new ArgumentError(this.#where, `there is no \`${this.name}\` to monitor`, {
      hint: `there are: ${Object.keys(logs).join(", ")}${this.name.startsWith("val_") ? "; give validationData or validationSplit" : ""}`,
    });
  }

  /** Whether a value is better than the best before. NaN never is. */
  better(value: number, best: number | undefined): boolean {
    if (best === undefined) return !Number.isNaN(value);
    return this.direction === "min" ? value < best - this.#minDelta : value > best + this.#minDelta;
  }
}

const MORE = /acc|auc|precision|recall|f1|r2|kappa|matthews|mcc|top_k/;
const LESS = /loss|error|entropy|perplexity|brier|mse|mae|ece|divergence/;

function directionOf(where: string, monitor: string): "min" | "max" {
  if (LESS.test(monitor)) return "min";
  if (MORE.test(monitor)) return "max";
  throw new ArgumentError(where, `it is not known whether less or more \`${monitor}\` is better`, {
    hint: 'say so: mode: "min" or "max"',
  });
}
