// Evaluation of language models while they train: loss, perplexity, bits per byte over held-out windows.
import { ArgumentError } from "../../engine/core/index.ts";
import { sampler, type Dataset } from "../../data/index.ts";
import type { Module } from "../nn/index.ts";
import type { Logs } from "./callback.ts";
import { readOnce, release } from "./loop-measures.ts";
import type { StepBatch } from "./objective.ts";
import { valuesOf, type TrainState } from "./state.ts";
import { makeEvaluate, type EvaluateStep } from "./step.ts";
import { tokenObjective } from "./token-objective.ts";
import type { HostBatch } from "./train-options.ts";

export interface TokenEvaluationOptions {
  readonly dataset: Dataset<HostBatch>;
  readonly upload: (batch: HostBatch) => StepBatch;
  readonly batchSize: number;
  /** Only the first so many batches; all unless said. */
  readonly batches?: number;
  /** Bytes of text a token stands for, on average: for bits per byte, which compares models of different tokenizers. */
  readonly bytesPerToken?: number;
  /** Front of the names; default `val_`. */
  readonly prefix?: string;
}

/** The compiled evaluation of a language model: loss and trained tokens of a batch. */
export function makeTokenEvaluate(module: Module<never, unknown>): EvaluateStep {
  return makeEvaluate(module, tokenObjective(), { predictions: false });
}

/**
 * A function for the loop's `evaluation`: `val_loss = Σ ℓ / tokens` (natural logarithm), `val_perplexity = e^loss`,
 * `val_bits_per_byte = loss / (ln 2 · bytesPerToken)`. Always the same windows; only one batch of logits at a time.
 *
 * @example no-run
 * const evaluate = tokenEvaluation(model, { dataset: held, upload, batchSize: 8 });
 * await train({ ...options, evaluation: { everySteps: 250, evaluate } });
 */
export function tokenEvaluation(
  module: Module<never, unknown>,
  options: TokenEvaluationOptions,
): (state: TrainState) => Promise<Logs> {
  const { dataset, upload, batchSize, batches = Infinity, bytesPerToken, prefix = "val_" } = options;
  if (!(batches >= 1))
    throw new ArgumentError("tokenEvaluation", `\`batches\` must be at least 1: received ${batches}`);
  const evaluate = makeTokenEvaluate(module);
  const order = sampler(dataset.length, { batchSize, shuffle: false });
  return async (state) => {
    const values = valuesOf(state);
    let [sum, tokens] = [0, 0];
    for (let i = 0; i < Math.min(batches, order.batchesPerEpoch); i++) {
      const batch = upload(await dataset.batch(order.indices(0, i * batchSize)));
      const { loss, count } = await evaluate.run(values, batch);
      const terms = readOnce(count);
      sum += readOnce(loss) * terms;
      tokens += terms;
      release(batch);
    }
    if (tokens === 0) throw new ArgumentError("tokenEvaluation", "the data has no token to measure");
    const loss = sum / tokens;
    const perByte = bytesPerToken === undefined ? {} : { bits_per_byte: loss / Math.LN2 / bytesPerToken };
    const named = { loss, perplexity: Math.exp(loss), ...perByte };
    return Object.fromEntries(Object.entries(named).map(([name, value]) => [prefix + name, value]));
  };
}
