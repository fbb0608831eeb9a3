// Recipes by name: what runs offline with the text that ships with the package.
import { ArgumentError, nearestName } from "../../engine/core/index.ts";
import type { RecipeInput } from "./recipe-types.ts";

type Preset = Omit<RecipeInput, "out">;

/**
 * Recipes without a folder. Sources: `shakespeare-cpu` and `shakespeare` are nanoGPT's two settings for Shakespeare's
 * characters, with its optimizer; windows drawn at random as it does.
 */
export const recipePresets: { readonly [name: string]: Preset } = {
  /** Under a minute on two cores: a model whose lines look like Shakespeare's. */
  "shakespeare-cpu": {
    seed: 1337,
    data: { text: "shakespeare", tokenizer: "characters", windows: "random" },
    model: { preset: "shakespeare-cpu" },
    training: {
      steps: 2000,
      batch: 12,
      optimizer: { learningRate: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.1, clip: 1 },
      schedule: { name: "cosine", warmup: 100, end: 0.1 },
    },
    evaluation: { every: 250, batch: 24, batches: 20 },
    checkpoints: { every: 500, keep: 2 },
    samples: { every: 1000, prompt: "\n", tokens: 200 },
  },
  /** Hours on two cores: 10.8 million parameters. */
  shakespeare: {
    seed: 1337,
    data: { text: "shakespeare", tokenizer: "characters", windows: "random" },
    model: { preset: "shakespeare" },
    training: {
      steps: 5000,
      batch: 64,
      accumulate: 4,
      dropout: 0.2,
      optimizer: { learningRate: 1e-3, beta1: 0.9, beta2: 0.99, weightDecay: 0.1, clip: 1 },
      schedule: { name: "cosine", warmup: 100, end: 0.1 },
    },
    evaluation: { every: 250 },
    checkpoints: { every: 250, keep: 2 },
    samples: { every: 500, prompt: "\n", tokens: 300 },
  },
};

/** A recipe by its name. Errors: ArgumentError with the nearest name. */
export function recipePreset(name: string, out: string = `runs/${name}`): RecipeInput {
  if (Object.hasOwn(recipePresets, name)) return { ...recipePresets[name]!, out };
  const known = Object.keys(recipePresets);
  const nearest = nearestName(name, known);
  throw new ArgumentError("recipe", `there is no preset \`${name}\``, {
    hint: `${nearest === undefined ? "" : `did you mean \`${nearest}\`? `}known are ${known.join(", ")}`,
  });
}
