// plan: what a recipe costs before it is run: parameters, operations, memory, tokens, time, and what makes it fit.
import { planData, type PlannedData } from "./plan-data.ts";
import { machineMemory, memoryOf, type Machine, type PlanMemory } from "./plan-memory.ts";
import { suggestionsFor, type Suggestion } from "./plan-options.ts";
import { layersOf, programOf, withLayers } from "./plan-program.ts";
import { measuredLayers, measureTime, type Measurement } from "./plan-time.ts";
import { stepFlops } from "./cost.ts";
import type { Recipe } from "./recipe-types.ts";
import { settingsOf, type Settings } from "./settings.ts";

/** Tokens a parameter for the least loss at a given number of operations (Hoffmann et al. 2022). */
const OPTIMAL_TOKENS = 20;

/** What a recipe costs. Bytes, seconds, floating-point operations. */
export interface Plan {
  readonly settings: Settings;
  readonly data: PlannedData;
  readonly parameters: number;
  readonly layers: number;
  readonly flops: { readonly step: number; readonly total: number };
  readonly tokens: PlannedTokens;
  readonly memory: PlanMemory;
  readonly machine: Machine;
  /** Whether the run fits into what is available now. */
  readonly fits: boolean;
  /** Undefined where nothing was measured; `unmeasured` says why. */
  readonly time?: PlanTime;
  readonly unmeasured?: string;
  /** What makes it fit, where it does not. */
  readonly suggestions: readonly Suggestion[];
}

/** How much a run reads. */
export interface PlannedTokens {
  /** Of a step, and of all. */
  readonly step: number;
  readonly total: number;
  /** How often each token of the data is seen. */
  readonly epochs: number;
  /** For the least loss at so many operations: 20 a parameter. */
  readonly optimal: number;
}

/** How long a run takes. */
export interface PlanTime {
  readonly step: number;
  readonly tokensPerSecond: number;
  /** An evaluation, and how many there are. */
  readonly evaluation: number;
  readonly evaluations: number;
  /** A checkpoint, and how many there are. */
  readonly checkpoint: number;
  readonly checkpoints: number;
  /** First weights, compilation, first touch of memory. */
  readonly begin: number;
  readonly total: number;
  readonly measured: Measurement;
}

export interface PlanOptions {
  /** Measures on this machine for about five seconds; default true. */
  readonly measure?: boolean;
  /** Bytes there are, in place of this machine's. */
  readonly limit?: number | undefined;
}

/**
 * Predicts what a recipe costs. Its programs are compiled as the run compiles them, so that their memory is known, not
 * estimated; time is measured on a model of the same width with one layer and with a few. No file is prepared and nothing is
 * written to the run's folder.
 *
 * Errors: those of the recipe's settings and data.
 *
 * @example
 * const recipe = checkRecipe({ out: "runs/bard", data: { text: "shakespeare" }, model: { preset: "shakespeare-tiny" }, training: { steps: 20, batch: 8 } });
 * const { parameters } = await plan(recipe, { measure: false });
 */
export async function plan(recipe: Recipe, { measure = true, limit }: PlanOptions = {}): Promise<Plan> {
  const data = await planData(recipe);
  const settings = settingsOf(recipe, data.vocabSize);
  const evaluated = data.validationTokens >= 2;
  const { memory: program, cost } = programOf(recipe, settings, { evaluated });
  // This process has read the same code and compiled the same programs as the run will have.
  const own = process.memoryUsage.rss();
  const memory = memoryOf(program, { data: data.bytes, process: own });
  const machine = machineMemory(limit);
  const fits = memory.peak <= machine.available;
  const step = stepFlops(cost, settings);
  const perStep = settings.batch * settings.time;
  const measurable = measure ? whyNot(recipe, settings, { evaluated, memory, machine }) : "not asked for";
  const base = {
    settings,
    data,
    parameters: cost.parameters,
    layers: layersOf(settings),
    flops: { step, total: step * settings.steps },
    tokens: {
      step: perStep,
      total: perStep * settings.steps,
      epochs: (perStep * settings.steps) / data.trainTokens,
      optimal: OPTIMAL_TOKENS * cost.parameters,
    },
    memory,
    machine,
    fits,
    suggestions: fits
      ? []
      : suggestionsFor(recipe, { data, evaluated, memory, process: own, available: machine.available }),
  };
  if (measurable !== undefined) return { ...base, unmeasured: measurable };
  return { ...base, time: timeOf(recipe, base, await measureTime(recipe, settings, { evaluated })) };
}

// Models of few layers are smaller than the whole, but they must fit too.
function whyNot(
  recipe: Recipe,
  settings: Settings,
  {
    evaluated,
    memory,
    machine,
  }: { readonly evaluated: boolean; readonly memory: PlanMemory; readonly machine: Machine },
): string | undefined {
  if (memory.training <= machine.available / 2) return undefined; // whatever is measured is smaller
  const sizes = measuredLayers(settings).map(
    (layers) => programOf(recipe, withLayers(settings, layers), { evaluated }).memory,
  );
  const needed = sizes.reduce(
    (sum, { weights, optimizer, arena, evaluation }) => sum + weights + optimizer + arena + evaluation,
    memory.process,
  );
  return needed <= machine.available ? undefined : "not even a few of its layers fit into memory";
}

function timeOf(
  { evaluation, checkpoints }: Recipe,
  { settings, data, memory }: Pick<Plan, "settings" | "data" | "memory">,
  measured: Measurement,
): PlanTime {
  const { steps, batch, microBatch, time } = settings;
  const windows = Math.ceil(Math.max(0, data.validationTokens - 1) / time);
  const rows = evaluation.batch ?? microBatch;
  const batches = Math.min(evaluation.batches ?? Infinity, Math.ceil(windows / rows));
  const evaluations = windows === 0 ? 0 : Math.ceil(steps / evaluation.every);
  const perEvaluation = batches * measured.evaluation + memory.weights * measured.writeByte; // a better model is kept
  const state = memory.weights + memory.optimizer;
  const training = steps * measured.step + evaluations * perEvaluation;
  const byClock = checkpoints.minutes === 0 ? 0 : Math.floor(training / (60 * checkpoints.minutes));
  const saved = Math.max(byClock, Math.ceil(steps / checkpoints.every));
  const checkpoint = state * measured.writeByte;
  return {
    step: measured.step,
    tokensPerSecond: (batch * time) / measured.step,
    evaluation: perEvaluation,
    evaluations,
    checkpoint,
    checkpoints: saved,
    begin: measured.begin,
    total: measured.begin + training + saved * checkpoint,
    measured,
  };
}
