// What a pretraining recipe says, with everything filled in.
import type { ConfigJson } from "../../models/index.ts";

/** Everything a pretraining run is made of. */
export interface Recipe {
  /** Folder of the run: everything that is written goes there. */
  readonly out: string;
  /** Of first weights, dropout and the order of the data. Default 0. */
  readonly seed: number;
  readonly data: DataRecipe;
  readonly model: ModelRecipe;
  readonly training: TrainingRecipe;
  readonly evaluation: EvaluationRecipe;
  readonly checkpoints: CheckpointRecipe;
  /** Text of the model while it trains; none unless said. */
  readonly samples?: SampleRecipe | undefined;
  /** Leaves out batches whose loss is a spike; only such whose loss is not finite unless said. */
  readonly guard?: GuardRecipe | undefined;
  /** A line of metrics.jsonl every so many steps; default 10, 0 never. */
  readonly log: number;
}

/** Where tokens come from: `tokens` or `text`. */
export interface DataRecipe {
  /** A folder that `chainrule data prepare` wrote. */
  readonly tokens?: string | undefined;
  /** Files, folders or globs that are prepared into the run's folder first; or the text that ships with the package. */
  readonly text?: "shakespeare" | readonly string[] | undefined;
  /** For `text`: "characters", or a tokenizer.json. */
  readonly tokenizer?: string | undefined;
  /** For files: share of documents held out; default 0.05. */
  readonly valFraction?: number | undefined;
  /** For files: which duplicates are removed; default "exact". */
  readonly dedup?: "exact" | "near" | "none" | undefined;
  /** One stream of tokens, or attention that stays inside a document. Default "joined". */
  readonly documents: "joined" | "apart";
  /** Of documents apart: in their order, or each whole where it fits best. Default "contiguous". */
  readonly packing: "contiguous" | "best-fit";
  /** An epoch covers every token once, or windows begin at random places as nanoGPT draws them. Default "cover". */
  readonly windows: "cover" | "random";
}

/** What is trained: one of `preset`, `depth`, or a `config` with its model_type. */
export interface ModelRecipe {
  /** A name of `presets`. */
  readonly preset?: string | undefined;
  /** One dial: gives width, heads, learning rate, batch and horizon. */
  readonly depth?: number | undefined;
  /** Fields of a config.json in Hugging Face's names, over those of preset or depth. */
  readonly config: ConfigJson;
  /** Computes each block again in the backward pass: less memory, about a third more work. Default false. */
  readonly checkpointBlocks: boolean;
}

export interface TrainingRecipe {
  /** Updates; what `depth` says unless given. */
  readonly steps?: number | undefined;
  /** Windows of one update; what `depth` says unless given. */
  readonly batch?: number | undefined;
  /** Micro-batches an update is computed in; its result is that of the whole batch. Default 1. */
  readonly accumulate: number;
  /** Tokens of a window; the model's context unless given. */
  readonly time?: number | undefined;
  /** Over the model's own rates. */
  readonly dropout?: number | undefined;
  readonly labelSmoothing: number;
  readonly zLoss: number;
  /** Tokens whose logits exist at the same time; all unless given. */
  readonly lossChunk?: number | undefined;
  readonly storage: StorageRecipe;
  readonly optimizer: OptimizerRecipe;
  readonly schedule: ScheduleRecipe;
}

/** What matrices and their optimizer memory are kept in; everything is computed in float32. */
export interface StorageRecipe {
  /** Default "float32". */
  readonly weights: "float32" | "bfloat16";
  /** Default "float32". */
  readonly states: "float32" | "bfloat16";
  /** How an updated value becomes bfloat16; default "stochastic". */
  readonly rounding: "stochastic" | "nearest";
}

export interface OptimizerRecipe {
  /** Default "adamw". */
  readonly name: "adamw" | "muon" | "adamw8bit";
  /** Peak; what `depth` says, else 1e-3. */
  readonly learningRate?: number | undefined;
  /** Defaults 0.9, 0.95 and 1e-8. */
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Of matrices alone; default 0.1. */
  readonly weightDecay: number;
  /** Most norm of all gradients together; default 1, 0: not clipped. */
  readonly clip: number;
}

export interface ScheduleRecipe {
  /** Default "cosine". */
  readonly name: "cosine" | "linear" | "wsd" | "constant";
  /** Steps from 0 to the peak; default 0. */
  readonly warmup: number;
  /** Last learning rate as a share of the peak; default 0.1. */
  readonly end: number;
  /** For "wsd": share of the steps in which it falls; default 0.2. */
  readonly decayShare: number;
}

export interface EvaluationRecipe {
  /** Steps; the last one is always evaluated. Default 250. */
  readonly every: number;
  /** Batches of held-out windows; all unless given. */
  readonly batches?: number | undefined;
  /** Windows of a batch; those of a micro-batch unless given. */
  readonly batch?: number | undefined;
}

export interface CheckpointRecipe {
  /** Steps; default 500. */
  readonly every: number;
  /** The newest that stay; default 2. The best by val_loss stays too. */
  readonly keep: number;
  /** Also after so many minutes; default 10, 0: never. */
  readonly minutes: number;
}

export interface SampleRecipe {
  /** Steps. */
  readonly every: number;
  /** Default a line break. */
  readonly prompt: string;
  /** Default 200. */
  readonly tokens: number;
  /** Default 0.8. */
  readonly temperature: number;
  readonly topK?: number | undefined;
}

export interface GuardRecipe {
  /** Standard deviations above the mean of the last losses; default 6. */
  readonly threshold: number;
  /** The same for the norm of all gradients; not looked at unless given. */
  readonly normThreshold?: number | undefined;
  /** Losses looked back on; default 128. */
  readonly window: number;
  /** Leaves the batch out (default), or goes back to the last checkpoint besides. */
  readonly action: "skip" | "rollback";
}

/** As it is written: what has a default may be left out. */
type Written<T> = T extends readonly unknown[] | string | number | boolean | undefined
  ? T
  : T extends ConfigJson
    ? T
    : { readonly [K in keyof T]?: Written<T[K]> | undefined };

/** A recipe as it is written. */
export type RecipeInput = Written<Omit<Recipe, "out">> & { readonly out: string };
