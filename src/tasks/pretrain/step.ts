// The training step of a recipe: what `pretrain` runs and what a plan compiles.
import type { Optimizer } from "../../learn/optim/index.ts";
import { makeStep, tokenObjective, type TrainStep } from "../../learn/train/index.ts";
import type { CausalLM } from "../../models/index.ts";
import type { Recipe } from "./recipe-types.ts";
import { optimizerOf, scheduleOf, type Settings } from "./settings.ts";

/** The step of a recipe, with its optimizer. */
export function stepOf(
  { training, guard }: Recipe,
  { model, settings }: { readonly model: CausalLM; readonly settings: Settings },
): { readonly step: TrainStep; readonly optimizer: Optimizer } {
  const optimizer = optimizerOf(training.optimizer, scheduleOf(training.schedule, settings));
  const { labelSmoothing, zLoss, lossChunk, accumulate, storage } = training;
  const step = makeStep(model, {
    objective: tokenObjective({ labelSmoothing, zLoss, ...(lossChunk === undefined ? {} : { chunk: lossChunk }) }),
    optimizer,
    accumulate,
    rounding: storage.rounding,
    predictions: false,
    lossLimit: true,
    gradientNorm: training.optimizer.clip > 0 || guard?.normThreshold !== undefined,
  });
  return { step, optimizer };
}
