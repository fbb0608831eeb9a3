// From a recipe to numbers: the model's config, steps, batch, learning rate, once the vocabulary is known.
import { ArgumentError, nearestName } from "../../engine/core/index.ts";
import {
  adamw,
  adamw8bit,
  constant,
  cosineDecay,
  linearDecay,
  muon,
  warmup,
  warmupStableDecay,
  type Optimizer,
  type Schedule,
} from "../../learn/optim/index.ts";
import { createModel, depthDial, presets, type CausalLM, type ConfigJson } from "../../models/index.ts";
import type { ModelRecipe, OptimizerRecipe, Recipe, ScheduleRecipe } from "./recipe-types.ts";

/** What a run does, in numbers. */
export interface Settings {
  readonly config: ConfigJson;
  /** Tokens of a window. */
  readonly time: number;
  /** Windows of an update, and of a micro-batch. */
  readonly batch: number;
  readonly microBatch: number;
  readonly steps: number;
  readonly learningRate: number;
}

/** The numbers of a recipe for a vocabulary. Errors: ArgumentError that names the field. */
export function settingsOf(recipe: Recipe, vocabSize: number): Settings {
  const { training, model } = recipe;
  const dial =
    model.depth === undefined
      ? undefined
      : depthDial(model.depth, {
          vocabSize,
          ...(training.time === undefined ? {} : { contextLength: training.time }),
        });
  const config = configOf(model, { vocabSize, dropout: training.dropout, base: dial?.config });
  const context = createModel(config).contextLength;
  const time = training.time ?? context;
  if (time > context) {
    throw new ArgumentError("recipe", `training.time is ${time}, but the model has ${context} positions`, {
      hint: "lower training.time, or raise the positions in model.config",
    });
  }
  const batch = training.batch ?? (dial === undefined ? undefined : Math.max(1, Math.round(dial.batchTokens / time)));
  if (batch === undefined) throw missing("training.batch", "the windows of one update");
  const steps = training.steps ?? (dial === undefined ? undefined : Math.ceil(dial.tokens / (batch * time)));
  if (steps === undefined) throw missing("training.steps", "the number of updates");
  if (training.accumulate > batch) {
    throw new ArgumentError("recipe", `training.accumulate is ${training.accumulate}, the batch has ${batch} windows`);
  }
  const { warmup: rising } = training.schedule;
  if (rising >= steps) {
    throw new ArgumentError("recipe", `training.schedule.warmup is ${rising}, the run has ${steps} steps`);
  }
  return {
    config,
    time,
    batch,
    microBatch: Math.ceil(batch / training.accumulate),
    steps,
    learningRate: training.optimizer.learningRate ?? dial?.learningRate ?? 1e-3,
  };
}

function missing(field: string, what: string): ArgumentError {
  return new ArgumentError("recipe", `\`${field}\` is missing: ${what}`, {
    hint: "or give model.depth, which says it",
  });
}

function configOf(
  { preset, config }: ModelRecipe,
  {
    vocabSize,
    dropout,
    base,
  }: { readonly vocabSize: number; readonly dropout: number | undefined; readonly base: ConfigJson | undefined },
): ConfigJson {
  if (preset !== undefined && !Object.hasOwn(presets, preset)) {
    const nearest = nearestName(preset, Object.keys(presets));
    const known = `known are ${Object.keys(presets).join(", ")}`;
    throw new ArgumentError("recipe", `there is no preset \`${preset}\``, {
      hint: nearest === undefined ? known : `did you mean \`${nearest}\`? ${known}`,
    });
  }
  const given = config["vocab_size"];
  if (typeof given === "number" && given < vocabSize)
    throw new ArgumentError("recipe", `model.config.vocab_size is ${given}, the tokenizer has ${vocabSize} tokens`);
  const whole: ConfigJson = { ...base, ...(preset === undefined ? {} : presets[preset]), ...config };
  const size = typeof given === "number" ? given : vocabSize;
  return { ...whole, vocab_size: size, ...(dropout === undefined ? {} : dropoutOf(whole, dropout)) };
}

// Rates have their names by family; Llama's family knows that of attention alone.
function dropoutOf(config: ConfigJson, rate: number): ConfigJson {
  return config["model_type"] === "gpt2"
    ? { attn_pdrop: rate, resid_pdrop: rate, embd_pdrop: rate }
    : { attention_dropout: rate };
}

/** A model without values. */
export function modelOf(recipe: Recipe, { config }: Settings): CausalLM {
  return createModel(config, { checkpointBlocks: recipe.model.checkpointBlocks });
}

/** The optimizer with its schedule. */
export function optimizerOf(
  { name, beta1, beta2, epsilon, weightDecay, clip }: OptimizerRecipe,
  learningRate: Schedule,
): Optimizer {
  const common = {
    learningRate,
    beta1,
    beta2,
    epsilon,
    weightDecay,
    decayMatricesOnly: true,
    ...(clip === 0 ? {} : { globalClipNorm: clip }),
  };
  if (name === "muon") return muon(common);
  return name === "adamw" ? adamw({ ...common, convention: "torch" }) : adamw8bit(common);
}

/** The learning rate of each step. */
export function scheduleOf({ name, warmup: rising, end, decayShare }: ScheduleRecipe, settings: Settings): Schedule {
  const { learningRate: peak, steps } = settings;
  const decaySteps = steps - rising;
  if (name === "wsd") {
    const falling = Math.max(1, Math.round(steps * decayShare));
    return warmupStableDecay({
      peak,
      warmupSteps: Math.max(1, rising),
      stableSteps: Math.max(0, steps - rising - falling),
      decaySteps: falling,
      end: peak * end,
    });
  }
  const after =
    name === "cosine"
      ? cosineDecay({ initial: peak, decaySteps, alpha: end })
      : name === "linear"
        ? linearDecay({ initial: peak, decaySteps, end: peak * end })
        : constant(peak);
  return rising === 0 ? after : warmup(after, { steps: rising });
}
