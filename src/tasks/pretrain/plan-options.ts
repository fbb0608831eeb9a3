// What makes a run fit: every option is planned as the run itself is, alone and together with others.
import type { PlannedData } from "./plan-data.ts";
import { memoryOf, type PlanMemory } from "./plan-memory.ts";
import { programOf } from "./plan-program.ts";
import type { Recipe } from "./recipe-types.ts";
import { settingsOf } from "./settings.ts";

/** A change to a recipe that takes less memory. */
export interface Suggestion {
  /** Fields of the recipe with their new values: `{ "training.accumulate": 4 }`. */
  readonly change: { readonly [field: string]: number | boolean | string };
  /** What it costs besides, in words. */
  readonly cost: string;
  readonly memory: PlanMemory;
  readonly fits: boolean;
}

interface Option {
  readonly change: Suggestion["change"];
  readonly cost: string;
}

/** Tokens whose logits exist at the same time, where the loss is cut. */
const CHUNK = 256;

/**
 * The options for a recipe that needs more than `available` bytes: those that leave the result what it is first; each with
 * its predicted size, those that would not make it smaller left out. Where none is enough by itself, several together.
 */
export function suggestionsFor(
  recipe: Recipe,
  planned: {
    readonly data: PlannedData;
    readonly evaluated: boolean;
    readonly memory: PlanMemory;
    readonly process: number;
    readonly available: number;
  },
): Suggestion[] {
  const { data, evaluated, memory, process: own, available } = planned;
  const { vocabSize } = data;
  const settings = settingsOf(recipe, vocabSize);
  const tried = (option: Option): Suggestion => {
    const changed = withChange(recipe, option.change);
    const program = programOf(changed, settingsOf(changed, vocabSize), { evaluated });
    const needed = memoryOf(program.memory, { data: data.bytes, process: own });
    return { ...option, memory: needed, fits: needed.peak <= available };
  };
  // Of options with a degree the first that fits, else the furthest that still helps.
  const first = (options: readonly Option[]): Suggestion[] => {
    let best: Suggestion | undefined;
    for (const option of options) {
      const one = tried(option);
      if (one.memory.peak >= (best?.memory.peak ?? memory.peak)) break;
      best = one;
      if (one.fits) break;
    }
    return best === undefined ? [] : [best];
  };
  const { training, model } = recipe;
  const tokens = settings.microBatch * settings.time;
  const groups = [
    ...(training.lossChunk === undefined && tokens > CHUNK ? [[chunked()]] : []),
    doublings(training.accumulate, settings.batch).map(accumulated),
    ...(model.checkpointBlocks ? [] : [[checkpointed()]]),
    ...(training.optimizer.name === "adamw" ? [[eightBit()]] : []),
    ...(training.storage.weights === "float32" ? [[halfWeights()]] : []),
  ];
  const single = groups.flatMap(first);
  const batches = halvings(settings.batch).map((batch): Option => {
    const parts = Math.min(training.accumulate, batch);
    return {
      change: { "training.batch": batch, ...(parts === training.accumulate ? {} : { "training.accumulate": parts }) },
      cost: "another run: fewer tokens an update",
    };
  });
  if (single.some(({ fits }) => fits)) return single;
  // Together, the one that saves most first.
  let change: Suggestion["change"] = {};
  const together: Suggestion[] = [];
  const costs: string[] = [];
  for (const one of single.toSorted((a, b) => a.memory.peak - b.memory.peak)) {
    change = { ...change, ...one.change };
    costs.push(one.cost);
    if (costs.length < 2) continue;
    const both = tried({ change, cost: costs.join("; ") });
    together.push(both);
    if (both.fits) break;
  }
  const last = together.at(-1);
  if (last?.fits === true) return [...single, last];
  return [...single, ...(last === undefined ? [] : [last]), ...first(batches)];
}

const chunked = (): Option => ({ change: { "training.lossChunk": CHUNK }, cost: "the same result, hardly slower" });
const accumulated = (parts: number): Option => ({
  change: { "training.accumulate": parts },
  cost: "the same result, hardly slower",
});
const checkpointed = (): Option => ({
  change: { "model.checkpointBlocks": true },
  cost: "the same result, about a third more time",
});
const eightBit = (): Option => ({
  change: { "training.optimizer.name": "adamw8bit" },
  cost: "the optimizer remembers in 8 bits: nearly the same result",
});

const halfWeights = (): Option => ({
  change: { "training.storage.weights": "bfloat16" },
  cost: "weights are kept in 16 bits: nearly the same result",
});

function doublings(from: number, most: number): number[] {
  const found: number[] = [];
  for (let parts = 2 * from; parts < 2 * most; parts *= 2) found.push(Math.min(parts, most));
  return found;
}

function halvings(from: number): number[] {
  const found: number[] = [];
  for (let batch = from >> 1; batch >= 1; batch >>= 1) found.push(batch);
  return found;
}

/** A recipe with some fields changed. */
export function withChange(recipe: Recipe, change: Suggestion["change"]): Recipe {
  const copy = structuredClone(recipe);
  for (const [field, value] of Object.entries(change)) {
    const names = field.split(".");
    let place = copy as unknown as { [name: string]: unknown };
    for (const name of names.slice(0, -1)) place = place[name] as { [name: string]: unknown };
    place[names.at(-1)!] = value;
  }
  return copy;
}
