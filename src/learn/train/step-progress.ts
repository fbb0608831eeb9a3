// Progress of runs counted in steps: one line with loss, learning rate, tokens a second, share of peak and time left.
import pc from "picocolors";
import { checkRange } from "../../engine/core/index.ts";
import type { Callback, Logs, TrainRun } from "./callback.ts";
import { formatSeconds, formatValue, type ProgressStream } from "./progress.ts";
import { cut, visible } from "./terminal-text.ts";

export interface StepProgressOptions {
  /** Tokens trained on in a step, padding not counted, for tokens a second. */
  readonly tokensPerStep?: number;
  /** Floating-point operations of a step, for the share of peak; with `peak`. */
  readonly flopsPerStep?: number;
  /** Operations a second this machine can do: `peakOf(defaultDevice())`. */
  readonly peak?: number;
  /** Seconds between lines where there is no terminal; default 10. */
  readonly everySeconds?: number;
  readonly stream?: ProgressStream;
  /** Milliseconds, for tests. */
  readonly now?: () => number;
}

const REDRAW_MS = 100;
const WIDTH = 20;
/** How much of the mean of loss and speed stays from step to step. */
const KEPT = 0.95;

/**
 * One line for a run with `maxSteps`: redrawn on a terminal, else a new line every ten seconds; evaluations on lines of
 * their own. On stderr.
 *
 * @example
 * const [tokensPerStep, flopsPerStep] = [64 * 256, 1.06e12];
 * stepProgress({ tokensPerStep, flopsPerStep, peak: peakOf(defaultDevice()) });
 * // step 1200/5000 ━━━━━━━━━━━━━━━━━━━━ 41:07 - loss: 1.5312 - lr: 9.1e-4 - 4.1k tokens/s - 61% of peak
 */
export function stepProgress(options: StepProgressOptions = {}): Callback {
  const { tokensPerStep, flopsPerStep, peak, everySeconds = 10 } = options;
  const { stream = process.stderr, now = () => performance.now() } = options;
  checkRange("stepProgress", "everySeconds", everySeconds, 0);
  const terminal = stream.isTTY === true && process.env["TERM"] !== "dumb";
  const colors = pc.createColors(terminal && (process.env["NO_COLOR"] ?? "") === "");
  const pause = terminal ? REDRAW_MS : 1000 * everySeconds;
  let [began, firstStep, drawn, onScreen] = [0, 0, 0, 0];
  let [stepBegan, stepBefore] = [0, 0];
  let warm = false;
  const speed = { ms: 0, steps: 0 };
  const loss = { sum: 0, weight: 0 };

  const line = (run: TrainRun): string => {
    const [done, target] = [run.step, run.maxSteps];
    const perStep = speed.steps === 0 ? 0 : speed.ms / speed.steps;
    const rate = perStep === 0 ? undefined : 1000 / perStep;
    const values = [
      `loss: ${formatValue(loss.sum / loss.weight)}`,
      `lr: ${run.learningRate.toExponential(1)}`,
      ...(rate === undefined || tokensPerStep === undefined ? [] : [`${formatCount(rate * tokensPerStep)} tokens/s`]),
      ...(rate === undefined || flopsPerStep === undefined || peak === undefined
        ? []
        : [`${Math.round((100 * rate * flopsPerStep) / peak)}% of peak`]),
    ].join(" - ");
    if (target === undefined) return `step ${done} - ${formatSeconds((now() - began) / 1000)} - ${values}`;
    // Evaluation and saving are part of what is left, so the whole time counts here.
    const mine = done - firstStep;
    const left = mine === 0 ? 0 : ((now() - began) / mine) * (target - done);
    const full = Math.floor((WIDTH * done) / Math.max(1, target));
    const bar = terminal ? ` ${colors.green("━".repeat(full))}${colors.white("━".repeat(WIDTH - full))}` : "";
    const count = `${String(done).padStart(String(target).length)}/${target}`;
    return `step ${colors.bold(count)}${bar} ${formatSeconds(left / 1000)} left - ${values}`;
  };
  const clear = (): void => {
    if (onScreen > 0) stream.write(`\r${" ".repeat(onScreen)}\r`);
    onScreen = 0;
  };
  const show = (run: TrainRun): void => {
    drawn = now();
    if (!terminal) {
      stream.write(`${line(run)}\n`);
      return;
    }
    const text = cut(line(run), stream.columns || 80);
    const width = visible(text);
    stream.write(`\r${text}${" ".repeat(Math.max(0, onScreen - width))}`);
    onScreen = width;
  };
  const say = (text: string): void => {
    clear();
    stream.write(`${text}\n`);
  };

  return {
    name: "stepProgress",
    last: true,
    onTrainBegin(run) {
      [began, drawn, firstStep] = [now(), terminal ? -Infinity : now(), run.step];
      warm = false;
      [speed.ms, speed.steps, loss.sum, loss.weight] = [0, 0, 0, 0];
    },
    batchesUntilDue: () => Infinity, // redrawn by the clock
    onBatchBegin(_, run) {
      [stepBegan, stepBefore] = [now(), run.step];
    },
    onBatchEnd(_, __, run) {
      const steps = run.step - stepBefore;
      loss.sum = KEPT * loss.sum + run.batchLoss;
      loss.weight = KEPT * loss.weight + 1;
      // The first step compiles, it does not count; where the run begins is its time.
      if (!warm) {
        [began, firstStep, warm] = [now(), run.step, true];
      } else {
        speed.ms = KEPT * speed.ms + now() - stepBegan;
        speed.steps = KEPT * speed.steps + steps;
      }
      if (now() - drawn >= pause) show(run);
    },
    onEvaluation(logs, run) {
      say(`step ${run.step}: ${describe(logs)}`);
    },
    onTrainEnd(_, run) {
      if (loss.weight > 0) show(run);
      if (onScreen > 0) stream.write("\n");
      onScreen = 0;
    },
    onNote: say,
  };
}

function describe(logs: Logs): string {
  return Object.entries(logs)
    .map(([name, value]) => `${name}: ${formatValue(value)}`)
    .join(" - ");
}

/** `950`, `4.1k`, `1.2M`. */
function formatCount(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  return value >= 1000 ? `${(value / 1000).toFixed(1)}k` : String(Math.round(value));
}
