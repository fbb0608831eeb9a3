// Progress in Keras's line format: `Epoch 1/5`, a bar, time left, time a step, metrics with four decimals. On stderr.
import pc from "picocolors";
import type { Callback, Logs } from "./callback.ts";
import { cut, visible } from "./terminal-text.ts";

/** Where progress is written, and how. */
export interface ProgressOptions {
  /** 1 draws a bar that moves, 2 writes one line an epoch. A bar on something that is no terminal becomes such lines too. */
  readonly verbose?: 1 | 2;
  readonly stream?: ProgressStream;
  /** Milliseconds, for tests. */
  readonly now?: () => number;
}

/** What progress is written to: process.stderr, or something like it. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const WIDTH = 20;
const REDRAW_MS = 50;

/** Shows a run on a terminal: at most 20 redraws a second, plain lines where there is no terminal, no colour with NO_COLOR. */
export function progressBar(options: ProgressOptions = {}): Callback {
  const { verbose = 1, stream = process.stderr, now = () => performance.now() } = options;
  const terminal = stream.isTTY === true && process.env["TERM"] !== "dumb";
  const moving = verbose === 1 && terminal;
  const colors = pc.createColors(terminal && (process.env["NO_COLOR"] ?? "") === "");
  let [began, firstDone, drawn, onScreen] = [0, 0, -Infinity, 0];
  let [firstBatch, done, target] = [0, 0, 0];

  const clear = (): void => {
    if (onScreen > 0) stream.write(`\r${" ".repeat(onScreen)}\r`);
    onScreen = 0;
  };
  const draw = (line: string, end: string): void => {
    // The last line of an epoch stays as it is and may wrap. Some terminals say 0 columns: they do not know.
    const room = moving && end === "" ? stream.columns || 80 : Infinity;
    const text = cut(line, room);
    const width = visible(text);
    stream.write(`${moving ? "\r" : ""}${text}${" ".repeat(Math.max(0, onScreen - width))}${end}`);
    onScreen = end === "" ? width : 0;
  };
  // The first step compiles: it does not count for the time a step takes.
  const perStep = (): number => {
    const steps = done - firstBatch;
    if (steps > 1) return (now() - firstDone) / (steps - 1);
    return steps === 1 ? firstDone - began : 0;
  };
  const line = (logs: Logs, final: boolean): string => {
    const count = `${String(done).padStart(String(target).length)}/${target}`;
    const values = Object.keys(logs)
      .sort()
      .map((name) => ` - ${name}: ${formatValue(logs[name]!)}`)
      .join("");
    const step = formatStepTime(perStep());
    if (!moving) return `${count} - ${formatSeconds((now() - began) / 1000)} - ${step}${values}`;
    const full = target === 0 ? WIDTH : Math.floor((WIDTH * done) / target);
    const bar = colors.green("━".repeat(full)) + colors.white("━".repeat(WIDTH - full));
    const time = final ? formatSeconds((now() - began) / 1000) : formatSeconds((perStep() * (target - done)) / 1000);
    return `${colors.bold(count)} ${bar} ${colors.bold(time)} ${step}${values}`;
  };

  return {
    name: "progressBar",
    last: true,
    onEpochBegin(epoch, run) {
      stream.write(`Epoch ${epoch + 1}/${run.epochs}\n`);
      [began, drawn, target] = [now(), -Infinity, run.batchesPerEpoch];
      firstBatch = done = Math.floor(run.state.position.sample / run.batchSize);
    },
    batchesUntilDue: () => Infinity, // redrawn by the clock
    onBatchEnd(batch, logs) {
      done = batch + 1;
      const time = now();
      if (done - firstBatch === 1) firstDone = time;
      if (!moving || time - drawn < REDRAW_MS || done === target) return;
      drawn = time;
      draw(line(logs, false), "");
    },
    onEpochEnd(_, logs) {
      draw(line(logs, true), "\n");
    },
    onTrainEnd() {
      if (onScreen > 0) stream.write("\n");
      onScreen = 0;
    },
    onNote(text) {
      clear();
      stream.write(`${text}\n`);
    },
  };
}

/** Four decimals; small numbers in scientific notation, as Keras prints them: `1.2345e-05`. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) > 1e-3) return value.toFixed(4);
  return value.toExponential(4).replace(/e([+-])(\d)$/, "e$10$2");
}

/** `12s`, `1:05`, `1:00:09`. */
export function formatSeconds(seconds: number): string {
  const s = Math.floor(seconds);
  const two = (n: number): string => String(n).padStart(2, "0");
  if (s >= 3600) return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  if (s >= 60) return `${Math.floor(s / 60)}:${two(s % 60)}`;
  return `${s}s`;
}

function formatStepTime(ms: number): string {
  if (ms >= 1000 || ms === 0) return `${Math.round(ms / 1000)}s/step`;
  if (ms >= 1) return `${Math.round(ms)}ms/step`;
  return `${Math.round(ms * 1000)}us/step`;
}
