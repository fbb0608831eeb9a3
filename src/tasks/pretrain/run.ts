// pretrain: a recipe becomes a run folder: data, model, the one training loop, checkpoints, samples, the trained model.
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ArgumentError, type HostArray } from "../../engine/core/index.ts";
import { defaultDevice, peakOf, tensor } from "../../engine/tensor/index.ts";
import { parseJson, tokenWindows, writeFileAtomic, type JsonValue, type TokenStore } from "../../data/index.ts";
import {
  CheckpointStore,
  createState,
  lossGuard,
  Measures,
  modelCheckpoint,
  runLog,
  samples,
  stepProgress,
  tokenEvaluation,
  train,
  valuesOf,
  type Callback,
  type HostBatch,
  type Logs,
  type StepBatch,
  type TrainRun,
  type TrainState,
} from "../../learn/train/index.ts";
import { generate } from "../../generate/index.ts";
import { saveModelFolder, type CausalLM } from "../../models/index.ts";
import type { PrepareProgress, Tokenizer } from "../../data/text/index.ts";
import { bytesPerToken, openCorpus, type Corpus } from "./corpus.ts";
import { costOf, stepFlops } from "./cost.ts";
import type { Recipe } from "./recipe-types.ts";
import { checkRecipe } from "./recipe.ts";
import { modelOf, settingsOf, type Settings } from "./settings.ts";
import { stepOf } from "./step.ts";

/** The recipe a run was begun with, in its folder. */
export const RECIPE_FILE = "recipe.json";
/** The best model so far, in a run's folder: config.json, model.safetensors, tokenizer.json. */
export const MODEL_FOLDER = "model";

export interface PretrainOptions {
  /** Goes on from the newest checkpoint of the run's folder. */
  readonly resume?: boolean;
  /** Ends the run after the step under way, saved. */
  readonly signal?: AbortSignal;
  /** More callbacks, behind those of the recipe. */
  readonly callbacks?: readonly Callback[];
  /** A line for people: what was read, what is trained. Nobody hears them unless given. */
  readonly say?: (line: string) => void;
  readonly onPrepare?: (progress: PrepareProgress) => void;
  /** Whether the progress line is written to stderr; default true. */
  readonly progress?: boolean;
}

/** What a run came to. */
export interface PretrainResult {
  readonly folder: string;
  readonly model: string;
  readonly steps: number;
  readonly parameters: number;
  /** Of the last evaluation, and the best one with its step; null where nothing was held out. */
  readonly last: Logs | null;
  readonly best: { readonly step: number; readonly values: Logs } | null;
  readonly seconds: number;
  readonly tokensPerSecond: number;
  /** Why it ended before its last step, if it did. */
  readonly stopped: string | null;
}

/**
 * Trains a language model from nothing. Everything of the run lies in `recipe.out`: recipe.json, tokens of texts that were
 * prepared, metrics.jsonl and event files, checkpoints, samples, and `model/`, the best model so far as a folder in Hugging
 * Face's layout. The same recipe gives the same weights, bit for bit, also where the run was interrupted and resumed.
 *
 * Errors: ArgumentError for what does not fit, or a folder that holds another run; those of data and loop.
 *
 * @example
 * const recipe = checkRecipe({ out: "runs/bard", data: { text: "shakespeare" }, model: { preset: "shakespeare-tiny" }, training: { steps: 20, batch: 8 } });
 * const { best } = await pretrain(recipe, { progress: false });
 */
export async function pretrain(recipe: Recipe, options: PretrainOptions = {}): Promise<PretrainResult> {
  const { say = () => {}, signal, resume = false } = options;
  const { out, seed } = recipe;
  await begin(recipe, resume);
  const corpus = await openCorpus(recipe, {
    signal,
    resume,
    ...(options.onPrepare === undefined ? {} : { onProgress: options.onPrepare }),
  });
  try {
    const settings = settingsOf(recipe, corpus.tokenizer.vocabSize);
    const model = modelOf(recipe, settings).init(seed, { dtype: "int32", shape: [1, 1] });
    const { step, optimizer } = stepOf(recipe, { model, settings });
    const fresh = createState(model, { optimizer, seed, take: true, storage: recipe.training.storage });
    const store = new CheckpointStore(join(out, "checkpoints"));
    const found = resume ? await store.latest(fresh) : undefined;
    for (const line of found?.skipped ?? []) say(`a checkpoint is damaged and was passed over: ${line}`);
    const cost = costOf(model);
    const flops = stepFlops(cost, settings);
    say(corpus.source);
    say(
      `${cost.parameters.toLocaleString("en")} parameters, vocabulary ${model.vocabSize}, windows of ${settings.time}`,
    );
    say(
      `${settings.steps.toLocaleString("en")} steps of ${settings.batch} windows, ${(flops / 1e9).toPrecision(3)} GFLOP each`,
    );
    if (found !== undefined) say(`goes on at step ${found.step}`);
    const windows = trainWindows(recipe, corpus.train, settings);
    const began = performance.now();
    const from = found?.step ?? 0;
    const result = await train({
      step,
      state: found?.snapshot.state ?? fresh,
      dataset: windows.dataset,
      upload,
      measures: new Measures([]),
      maxSteps: settings.steps,
      batchSize: settings.batch,
      shuffle: windows.shuffle,
      callbacks: callbacksOf(recipe, { model, corpus, settings, flops, options }),
      ...evaluationOf(recipe, { model, corpus, settings }),
      ...(found === undefined ? {} : { resume: found.snapshot }),
      ...(signal === undefined ? {} : { signal }),
    });
    const seconds = (performance.now() - began) / 1000;
    const steps = result.state.step.item();
    const { evaluations } = result;
    if (evaluations.length === 0) await exportModel(out, { model, state: result.state, tokenizer: corpus.tokenizer });
    const best = evaluations.toSorted((a, b) => a.values["val_loss"]! - b.values["val_loss"]!)[0];
    return {
      folder: out,
      model: join(out, MODEL_FOLDER),
      steps,
      parameters: cost.parameters,
      last: evaluations.at(-1)?.values ?? null,
      best: best ?? null,
      seconds,
      tokensPerSecond: ((steps - from) * settings.batch * settings.time) / seconds,
      stopped: result.stopped ?? null,
    };
  } finally {
    corpus.close();
  }
}

/** The recipe a run's folder was begun with. */
export async function recipeOfRun(folder: string): Promise<Recipe> {
  const path = join(folder, RECIPE_FILE);
  if (!existsSync(path)) {
    throw new ArgumentError("pretrain", `${folder} holds no run: ${RECIPE_FILE} is missing`, {
      hint: "begin one: chainrule pretrain RECIPE",
    });
  }
  const json = parseJson(await readFile(path, "utf8"), { where: path });
  return { ...checkRecipe(json as unknown as Recipe), out: folder };
}

// A folder holds one run; going on needs the recipe it was begun with.
async function begin(recipe: Recipe, resume: boolean): Promise<void> {
  const path = join(recipe.out, RECIPE_FILE);
  const text = `${JSON.stringify(recipe, undefined, 2)}\n`;
  if (resume) {
    if (!existsSync(path)) await recipeOfRun(recipe.out);
    const before = await readFile(path, "utf8");
    if (withoutFolder(before) !== withoutFolder(text)) {
      throw new ArgumentError("pretrain", "the recipe is not the one this run was begun with", {
        hint: `go on with \`chainrule pretrain --resume ${recipe.out}\`, which reads ${path}; or give another \`out\``,
      });
    }
    return;
  }
  const steps = await new CheckpointStore(join(recipe.out, "checkpoints")).steps();
  if (steps.length > 0) {
    throw new ArgumentError("pretrain", `${recipe.out} holds a run of ${steps.at(-1)} steps`, {
      hint: `go on: chainrule pretrain --resume ${recipe.out}; or give another \`out\``,
    });
  }
  await mkdir(recipe.out, { recursive: true });
  await writeFileAtomic(path, text);
}

function withoutFolder(text: string): string {
  return JSON.stringify({ ...(JSON.parse(text) as object), out: "" });
}

// ── data ─────────────────────────────────────────────────────────────────────

function trainWindows(
  { data, seed }: Recipe,
  store: TokenStore,
  { time, steps, batch }: Settings,
): { dataset: ReturnType<typeof tokenWindows>; shuffle: boolean } {
  const { documents, packing } = data;
  if (data.windows === "random") {
    const draw = { windows: steps * batch, seed };
    return { dataset: tokenWindows(store, { time, documents, packing, draw }), shuffle: false };
  }
  return { dataset: tokenWindows(store, { time, documents, packing }), shuffle: true };
}

/** A batch of windows on the device. */
export function upload({ x, y, weights }: HostBatch): StepBatch {
  const ints = (array: HostArray) => tensor(array, { dtype: "int32" });
  const { ids, positions, segments } = x as { [name: string]: HostArray | undefined };
  return {
    x:
      segments === undefined
        ? { ids: ints(ids!) }
        : { ids: ints(ids!), positions: ints(positions!), segments: ints(segments) },
    y: y.map(ints),
    ...(weights === undefined ? {} : { weights: weights.map((array) => tensor(array)) }),
  };
}

function evaluationOf(
  { data, evaluation }: Recipe,
  { model, corpus, settings }: { model: CausalLM; corpus: Corpus; settings: Settings },
): { evaluation?: { everySteps: number; evaluate: (state: TrainState) => Promise<Logs> } } {
  const { validation, tokenizer } = corpus;
  if (validation === undefined) return {};
  const evaluate = tokenEvaluation(model, {
    dataset: tokenWindows(validation, { time: settings.time, documents: data.documents }),
    upload,
    batchSize: evaluation.batch ?? settings.microBatch,
    bytesPerToken: bytesPerToken(validation, tokenizer),
    ...(evaluation.batches === undefined ? {} : { batches: evaluation.batches }),
  });
  return { evaluation: { everySteps: evaluation.every, evaluate } };
}

// ── what goes with the loop ──────────────────────────────────────────────────

interface Parts {
  readonly model: CausalLM;
  readonly corpus: Corpus;
  readonly settings: Settings;
  readonly flops: number;
  readonly options: PretrainOptions;
}

// A resumed run has the same list, in the same order: their memory is found by it.
function callbacksOf(recipe: Recipe, { model, corpus, settings, flops, options }: Parts): Callback[] {
  const { out, checkpoints, guard, log } = recipe;
  const folder = join(out, "checkpoints");
  const { tokenizer, validation } = corpus;
  const { normThreshold = Infinity, ...rest } = { threshold: Infinity, ...guard };
  const guardOptions = { ...rest, normThreshold };
  const rollback = guard?.action === "rollback" ? { folder, everySteps: checkpoints.every } : {};
  const tokensPerStep = settings.batch * settings.time;
  return [
    lossGuard({ ...guardOptions, ...rollback }),
    ...(recipe.samples === undefined
      ? []
      : [
          samples({
            everySteps: recipe.samples.every,
            sample: sampler(recipe, model, tokenizer),
            folder: join(out, "samples"),
          }),
        ]),
    sameTokens(corpus.identity),
    ...(validation === undefined ? [] : [bestModel(out, model, tokenizer)]),
    runLog(out, { everySteps: log, config: { recipe: recipe as unknown as JsonValue } }),
    modelCheckpoint(folder, {
      everyEpochs: 0,
      everySteps: checkpoints.every,
      everySeconds: checkpoints.minutes * 60,
      keepLast: checkpoints.keep,
      ...(validation === undefined ? {} : { monitor: "val_loss" }),
    }),
    ...(options.callbacks ?? []),
    // Behind those that remember: a run may go on with the line or without.
    ...(options.progress === false
      ? []
      : [stepProgress({ tokensPerStep, flopsPerStep: flops, peak: peakOf(defaultDevice()) })]),
  ];
}

function sampler(
  { seed, samples: how }: Recipe,
  model: CausalLM,
  tokenizer: Tokenizer,
): (run: TrainRun) => Promise<string> {
  const { prompt, tokens, temperature, topK } = how!;
  return async (run) => {
    let text = prompt;
    const stream = generate(model, tokenizer.encode(prompt), {
      values: valuesOf(run.state),
      tokenizer,
      maxTokens: tokens,
      temperature,
      overflow: "slide",
      seed: seed + run.step, // its own keys: training does not depend on it
      ...(topK === undefined ? {} : { topK }),
    });
    for await (const token of stream) text += token.text;
    return text;
  };
}

// A run that goes on over other tokens would be another run.
function sameTokens(identity: string): Callback {
  return {
    name: "sameTokens",
    save: () => ({ values: { identity } }),
    load({ values }) {
      if ((values as { identity: string }).identity === identity) return;
      throw new ArgumentError("pretrain", "the tokens are not those this run was begun with", {
        hint: "prepare the data as it was, or begin another run",
      });
    },
  };
}

// The best model so far, as a folder that other commands and tools read.
function bestModel(out: string, model: CausalLM, tokenizer: Tokenizer): Callback {
  let best = Infinity;
  return {
    name: "bestModel",
    async onEvaluation(logs, run) {
      const value = logs["val_loss"]!;
      if (!(value < best)) return;
      best = value;
      await exportModel(out, { model, state: run.state, tokenizer });
    },
    save: () => ({ values: { best: Number.isFinite(best) ? best : null } }),
    load({ values }) {
      best = (values as { best: number | null }).best ?? Infinity;
    },
  };
}

async function exportModel(
  out: string,
  { model, state, tokenizer }: { model: CausalLM; state: TrainState; tokenizer: Tokenizer },
): Promise<void> {
  await saveModelFolder(join(out, MODEL_FOLDER), model, { values: valuesOf(state), tokenizer });
}
