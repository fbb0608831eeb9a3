// Run log: the folder of a run: config.json, metrics.jsonl, event files for TensorBoard. What later tools show comes from there.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic, type JsonValue } from "../../data/index.ts";
import { defaultDevice } from "../../engine/tensor/index.ts";
import type { Callback, Logs, TrainRun } from "./callback.ts";
import { EventWriter } from "./tfevents.ts";

/** One line of metrics.jsonl. */
export interface MetricsLine {
  readonly kind: "step" | "epoch" | "evaluation";
  readonly step: number;
  /** Counted from 0. */
  readonly epoch: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly values: { readonly [name: string]: number | null };
}

/** One line of rejected.jsonl: a batch that was not trained on. */
export interface RejectedLine {
  /** Updates done before it. */
  readonly step: number;
  /** Epochs done, over all calls. */
  readonly epoch: number;
  /** Samples of the epoch used up, this batch included. */
  readonly sample: number;
  readonly batch: number;
  readonly loss: number | null;
  readonly limit: number | null;
  readonly gradNorm: number | null;
  readonly problem: string;
  /** Numbers of its samples in the dataset. */
  readonly samples: readonly number[];
}

export interface RunLogOptions {
  /** Log the running values after every so many steps; default 10, 0 never. */
  readonly everySteps?: number;
  /** Further entries of config.json. */
  readonly config?: { readonly [key: string]: JsonValue };
}

/** Names of the files in a run folder. */
export const RUN_FILES: {
  readonly config: string;
  readonly metrics: string;
  readonly rejected: string;
  readonly events: string;
  readonly checkpoints: string;
} = {
  config: "config.json",
  metrics: "metrics.jsonl",
  rejected: "rejected.jsonl",
  events: "events",
  checkpoints: "checkpoints",
};

/**
 * Writes a run folder. A resumed run goes on in the same files: lines of steps that are done again are taken out first, so
 * that each step stands there once.
 *
 * `values` of steps are those of the step's own batch (`batch_loss`, `grad_norm` where the step tells it) and running ones of its epoch.
 */
export function runLog(folder: string, options: RunLogOptions = {}): Callback {
  const { everySteps = 10, config = {} } = options;
  const metrics = join(folder, RUN_FILES.metrics);
  const rejected = join(folder, RUN_FILES.rejected);
  let events: EventWriter | undefined;
  const write = (
    kind: MetricsLine["kind"],
    { values, run, epoch }: { values: Logs; run: TrainRun; epoch: number },
  ): void => {
    const finite = Object.entries(values).map(
      ([name, value]) => [name, Number.isFinite(value) ? value : null] as const,
    );
    const line: MetricsLine = { kind, step: run.step, epoch, time: Date.now(), values: Object.fromEntries(finite) };
    appendFileSync(metrics, `${JSON.stringify(line)}\n`);
    events!.scalars(
      run.step,
      Object.entries(values).map(([name, value]) => ({ tag: `${kind}/${name}`, value })),
    );
  };
  return {
    name: "runLog",
    last: true,
    async onTrainBegin(run) {
      mkdirSync(folder, { recursive: true });
      const { position } = run.state;
      // Saved behind the last batch of an epoch, whose end comes again.
      const comesAgain = ({ kind, step, epoch }: MetricsLine): boolean =>
        kind === "epoch" && step === run.step && epoch >= run.epoch && position.sample > 0;
      await cutLines<MetricsLine>(metrics, (line) => line.step <= run.step && !comesAgain(line));
      await cutLines<RejectedLine>(
        rejected,
        ({ epoch, sample }) => epoch < position.epoch || (epoch === position.epoch && sample <= position.sample),
      );
      events = new EventWriter(join(folder, RUN_FILES.events));
      const { optimizer } = run.trainStep;
      const about = {
        optimizer: optimizer.config as unknown as JsonValue,
        seed: run.state.position.seed,
        batchSize: run.batchSize,
        ...(Number.isFinite(run.epochs) ? { epochs: run.epochs } : {}),
        ...(run.maxSteps === undefined ? {} : { maxSteps: run.maxSteps }),
        parameters: run.module.count(),
        device: defaultDevice().toString(),
        node: process.version,
      };
      await writeFileAtomic(
        join(folder, RUN_FILES.config),
        `${JSON.stringify({ ...about, ...config }, undefined, 2)}\n`,
      );
    },
    batchesUntilDue: (run) => (everySteps === 0 ? Infinity : everySteps - (run.step % everySteps)),
    onBatchEnd(_, logs, run) {
      if (everySteps === 0 || run.step % everySteps !== 0) return;
      write("step", {
        values: {
          ...logs,
          batch_loss: run.batchLoss,
          ...(run.trainStep.gradientNorm ? { grad_norm: run.batchGradientNorm } : {}),
          learning_rate: run.learningRate,
        },
        run,
        epoch: run.epoch,
      });
    },
    onEpochEnd(epoch, logs, run) {
      write("epoch", { values: { learning_rate: run.learningRate, ...logs }, run, epoch });
    },
    onEvaluation(logs, run) {
      write("evaluation", { values: logs, run, epoch: run.epoch });
    },
    onRejected({ step, batch, loss, limit, gradientNorm, problem, indices }, run) {
      const { epoch, sample } = run.state.position;
      const number = (value: number): number | null => (Number.isFinite(value) ? value : null);
      const about = {
        loss: number(loss),
        limit: number(limit),
        gradNorm: number(gradientNorm),
        problem,
        samples: [...indices],
      };
      const line: RejectedLine = { step, epoch, sample, batch, ...about };
      appendFileSync(rejected, `${JSON.stringify(line)}\n`);
    },
    async onRollback(_, run) {
      await cutLines<MetricsLine>(metrics, ({ step }) => step <= run.step);
    },
    onTrainEnd() {
      events?.close();
      events = undefined;
    },
  };
}

/** The lines of a run's metrics; a last line that a killed process left half written is passed over. */
export function readMetrics(folder: string): MetricsLine[] {
  return readLines<MetricsLine>(join(folder, RUN_FILES.metrics));
}

/** The batches that a run left out. */
export function readRejected(folder: string): RejectedLine[] {
  return readLines<RejectedLine>(join(folder, RUN_FILES.rejected));
}

function readLines<T>(path: string): T[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, "utf8").split("\n");
  return lines.slice(0, -1).map((line) => JSON.parse(line) as T);
}

// Lines after the place the run goes on from would stand twice. A last line that is cut in two goes with them.
async function cutLines<T>(path: string, stays: (line: T) => boolean): Promise<void> {
  if (!existsSync(path)) return;
  const kept = readLines<T>(path)
    .filter(stays)
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("");
  if (kept !== readFileSync(path, "utf8")) await writeFileAtomic(path, kept);
}
