// Measures: the loss and the metrics of an epoch while it runs, as sums that can be saved and continued.
import { CheckpointError, isPlainObject, type HostArray } from "../../engine/core/index.ts";
import type { JsonValue } from "../../data/index.ts";
import type { Metric } from "../metrics/index.ts";
import type { Logs } from "./callback.ts";

/** What is measured of one output of a model. */
export interface OutputMeasures {
  /** Name of the output, `undefined` for a model with a single one. */
  readonly name: string | undefined;
  readonly metrics: readonly Metric[];
  /** Metrics that count samples by their weights. */
  readonly weightedMetrics?: readonly Metric[];
}

/** One batch as measures see it: on the host. */
export interface MeasuredBatch {
  readonly count: number;
  readonly loss: number;
  readonly parts: readonly number[];
  readonly y: readonly HostArray[];
  readonly predictions: readonly HostArray[];
  readonly weights?: readonly (HostArray | undefined)[] | undefined;
}

interface Sums {
  count: number;
  loss: number;
  parts: number[];
  metrics: unknown[][];
}

/**
 * Loss and metrics over batches. The loss of an epoch is the mean of the batch losses weighted by their samples, as Keras
 * reports it: `Σ_b n_b L_b / Σ_b n_b`.
 */
export class Measures {
  readonly #outputs: readonly OutputMeasures[];
  /** Metrics of each output: once, because every batch goes through them. */
  readonly #metrics: readonly (readonly { metric: Metric; weighted: boolean }[])[];
  #sums: Sums;

  constructor(outputs: readonly OutputMeasures[]) {
    this.#outputs = outputs;
    this.#metrics = outputs.map(metricsOf);
    this.#sums = this.#fresh();
  }

  /** Whether predictions are needed at all. */
  get usesPredictions(): boolean {
    return this.#metrics.some((list) => list.length > 0);
  }

  /** Names of all values, in the order they are shown. */
  get names(): string[] {
    return Object.keys(this.#entries());
  }

  reset(): void {
    this.#sums = this.#fresh();
  }

  update(batch: MeasuredBatch): void {
    this.updateLoss(batch);
    this.updateMetrics(batch);
  }

  /** The losses of a batch alone. */
  updateLoss({ count, loss, parts }: Pick<MeasuredBatch, "count" | "loss" | "parts">): void {
    const sums = this.#sums;
    sums.count += count;
    sums.loss += count * loss;
    for (let o = 0; o < parts.length; o++) sums.parts[o] = (sums.parts[o] ?? 0) + count * parts[o]!;
  }

  /** The metrics of one batch, or of several as one: their sums are exact, so the cut changes nothing. */
  updateMetrics(batch: Pick<MeasuredBatch, "y" | "predictions" | "weights">): void {
    const sums = this.#sums;
    for (let o = 0; o < this.#metrics.length; o++) {
      const list = this.#metrics[o]!;
      for (let m = 0; m < list.length; m++) {
        const { metric, weighted } = list[m]!;
        const sampleWeight = weighted ? batch.weights?.[o] : undefined;
        metric.update(sums.metrics[o]![m], { yTrue: batch.y[o]!, yPred: batch.predictions[o]!, sampleWeight });
      }
    }
  }

  /** The values so far. */
  result(prefix: string = ""): Logs {
    const entries = Object.entries(this.#entries());
    return Object.fromEntries(entries.map(([name, read]) => [prefix + name, read()]));
  }

  /** An object whose values are computed when they are read: the running logs of batches. */
  live(): Logs {
    const logs = {};
    for (const [name, get] of Object.entries(this.#entries()))
      Object.defineProperty(logs, name, { get, enumerable: true });
    return logs;
  }

  save(): JsonValue {
    return JSON.parse(JSON.stringify(this.#sums)) as JsonValue;
  }

  load(saved: JsonValue): void {
    const { metrics } = this.#sums;
    const sums = saved as unknown as Sums;
    if (
      !isPlainObject(saved) ||
      sums.metrics?.length !== metrics.length ||
      sums.metrics.some((m, o) => m.length !== metrics[o]!.length)
    ) {
      throw new CheckpointError("measures", "the saved epoch was measured with other metrics", {
        hint: "compile with the metrics of the run that is resumed",
      });
    }
    this.#sums = structuredClone(sums);
  }

  #fresh(): Sums {
    const metrics = this.#outputs.map((output) => metricsOf(output).map(({ metric }) => metric.initial()));
    return { count: 0, loss: 0, parts: [], metrics };
  }

  #entries(): { readonly [name: string]: () => number } {
    const several = this.#outputs.length > 1;
    const entries: { [name: string]: () => number } = { loss: () => this.#sums.loss / this.#sums.count };
    this.#outputs.forEach(({ name }, o) => {
      if (several) entries[`${name}_loss`] = () => this.#sums.parts[o]! / this.#sums.count;
    });
    this.#outputs.forEach((output, o) => {
      metricsOf(output).forEach(({ metric }, m) => {
        const name = several ? `${output.name}_${metric.name}` : metric.name;
        entries[name] = () => metric.result(this.#sums.metrics[o]![m]);
      });
    });
    return entries;
  }
}

function metricsOf({ metrics, weightedMetrics = [] }: OutputMeasures): { metric: Metric; weighted: boolean }[] {
  return [
    ...metrics.map((metric) => ({ metric, weighted: false })),
    ...weightedMetrics.map((metric) => ({ metric, weighted: true })),
  ];
}
