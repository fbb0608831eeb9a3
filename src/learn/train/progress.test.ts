// Keras's line format: on a terminal, in a file, with and without colours, not more than 20 redraws a second.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Callback, Logs, TrainRun } from "./callback.ts";
import { formatSeconds, formatValue, progressBar } from "./progress.ts";

class Screen {
  text = "";
  writes = 0;
  readonly isTTY: boolean;
  readonly columns: number;
  constructor(isTTY: boolean, columns: number = 100) {
    this.isTTY = isTTY;
    this.columns = columns;
  }
  write(text: string): void {
    this.text += text;
    this.writes++;
  }
}

let clock = 0;
const now = (): number => clock;
const saved = { NO_COLOR: process.env["NO_COLOR"], TERM: process.env["TERM"] };
beforeEach(() => {
  clock = 0;
  process.env["NO_COLOR"] = "1";
  process.env["TERM"] = "xterm";
});
afterEach(() => {
  for (const [name, value] of Object.entries(saved)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

const run = (batches: number): TrainRun =>
  ({ epochs: 5, batchesPerEpoch: batches, batchSize: 32, state: { position: { sample: 0 } } }) as unknown as TrainRun;

function epoch(bar: Callback, batches: number, { ms, logs }: { ms: number; logs: Logs }): void {
  const at = run(batches);
  void bar.onEpochBegin!(0, at);
  for (let batch = 0; batch < batches; batch++) {
    clock += ms;
    void bar.onBatchEnd!(batch, logs, at);
  }
  void bar.onEpochEnd!(0, { ...logs, val_loss: 1e-5 }, at);
}

describe("progressBar", () => {
  it("draws Keras's line on a terminal", () => {
    const stream = new Screen(true);
    epoch(progressBar({ stream, now }), 282, { ms: 5, logs: { loss: 0.34561, accuracy: 0.90116 } });
    const lines = stream.text.split(/[\r\n]+/);
    expect(lines[0]).toBe("Epoch 1/5");
    expect(lines.at(-2)).toBe(
      "282/282 ━━━━━━━━━━━━━━━━━━━━ 1s 5ms/step - accuracy: 0.9012 - loss: 0.3456 - val_loss: 1.0000e-05",
    );
    expect(lines[2]).toMatch(/^ 11\/282 ━{20} 1s 5ms\/step - accuracy: 0.9012 - loss: 0.3456 *$/);
  });

  it("redraws at most 20 times a second", () => {
    const stream = new Screen(true);
    epoch(progressBar({ stream, now }), 1000, { ms: 1, logs: { loss: 1 } });
    expect(stream.writes).toBeLessThanOrEqual(20 + 3);
    expect(stream.writes).toBeGreaterThan(15);
  });

  it("colours the part that is done unless NO_COLOR says no", () => {
    const stream = new Screen(true);
    epoch(progressBar({ stream, now }), 4, { ms: 100, logs: { loss: 1 } });
    expect(stream.text).not.toContain("\x1b");
    delete process.env["NO_COLOR"];
    epoch(progressBar({ stream, now }), 4, { ms: 100, logs: { loss: 1 } });
    expect(stream.text).toContain("\x1b[32m━━━━━━━━━━\x1b[39m\x1b[37m━━━━━━━━━━\x1b[39m");
  });

  it("never runs over the edge while it moves", () => {
    const stream = new Screen(true, 40);
    epoch(progressBar({ stream, now }), 10, { ms: 100, logs: { loss: 1, accuracy: 0.5 } });
    const lines = stream.text.split(/[\r\n]+/);
    // The line that stays holds everything.
    expect(lines.at(-2)).toMatch(/val_loss: 1\.0000e-05$/);
    for (const line of lines.slice(0, -2)) expect(line.length).toBeLessThan(41);
  });

  it("takes 0 columns for not knowing", () => {
    const stream = new Screen(true, 0);
    epoch(progressBar({ stream, now }), 4, { ms: 100, logs: { loss: 1 } });
    expect(stream.text).toContain("4/4 ━━━━━━━━━━━━━━━━━━━━ 0s 100ms/step - loss: 1.0000");
  });

  it("writes plain lines where there is no terminal, and with verbose 2", () => {
    for (const [stream, verbose] of [
      [new Screen(false), 1],
      [new Screen(true), 2],
    ] as const) {
      epoch(progressBar({ stream, now, verbose }), 10, { ms: 100, logs: { loss: 1.5 } });
      expect(stream.text).toBe("Epoch 1/5\n10/10 - 1s - 100ms/step - loss: 1.5000 - val_loss: 1.0000e-05\n");
      clock = 0;
    }
  });

  it("puts notes above the bar", () => {
    const stream = new Screen(true);
    const bar = progressBar({ stream, now });
    void bar.onEpochBegin!(0, run(10));
    clock = 100;
    void bar.onBatchEnd!(0, { loss: 1 }, run(10));
    bar.onNote!("a word");
    expect(stream.text).toMatch(/\r +\ra word\n$/);
  });
});

describe("numbers", () => {
  it("have four decimals, or an exponent of two digits", () => {
    expect([0.12345, 123.4, -0.5, 0.001, 1e-5, 0, -2e-10, NaN, Infinity].map(formatValue)).toEqual([
      "0.1235",
      "123.4000",
      "-0.5000",
      "1.0000e-03",
      "1.0000e-05",
      "0.0000e+00",
      "-2.0000e-10",
      "NaN",
      "Infinity",
    ]);
  });
  it("of seconds are short", () => {
    expect([0.4, 59, 65, 3609].map(formatSeconds)).toEqual(["0s", "59s", "1:05", "1:00:09"]);
  });
});
