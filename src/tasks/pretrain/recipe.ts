// Recipes checked: a YAML file or an object; unknown keys are refused with the nearest name, errors say file and line.
import { readFile } from "node:fs/promises";
import { isAlias, LineCounter, parseDocument, visit, type Document } from "yaml";
import { z } from "zod";
import { ArgumentError, FormatError, nearestName } from "../../engine/core/index.ts";
import type { Recipe, RecipeInput } from "./recipe-types.ts";

const count = z.int().min(1);
const share = z.number().min(0).max(1);
const text = z.string().min(1);

const data = z
  .strictObject({
    tokens: text.optional(),
    text: z.union([z.literal("shakespeare"), z.array(text).min(1)]).optional(),
    tokenizer: text.optional(),
    valFraction: z.number().min(0).lt(1).optional(),
    dedup: z.enum(["exact", "near", "none"]).optional(),
    documents: z.enum(["joined", "apart"]).default("joined"),
    packing: z.enum(["contiguous", "best-fit"]).default("contiguous"),
    windows: z.enum(["cover", "random"]).default("cover"),
  })
  .refine(({ tokens, text: texts }) => (tokens === undefined) !== (texts === undefined), {
    message: "give `tokens` (a prepared folder) or `text` (files), and not both",
  })
  .refine(({ text: texts, tokenizer }) => !Array.isArray(texts) || tokenizer !== undefined, {
    message: 'files need a `tokenizer`: "characters", or a tokenizer.json',
  })
  .refine(({ tokens, tokenizer }) => tokens === undefined || tokenizer === undefined, {
    message: "a prepared folder has its own tokenizer: leave `tokenizer` out",
  })
  .refine(({ text: texts, ...rest }) => Array.isArray(texts) || (rest.valFraction ?? rest.dedup) === undefined, {
    message: "`valFraction` and `dedup` are for files: what is prepared already is split already",
  });

const model = z
  .strictObject({
    preset: text.optional(),
    depth: count.optional(),
    config: z.record(z.string(), z.json()).default({}),
    checkpointBlocks: z.boolean().default(false),
  })
  .refine(
    ({ preset, depth, config }) =>
      [preset, depth].filter((one) => one !== undefined).length === 1 ||
      (preset === undefined && depth === undefined && "model_type" in config),
    { message: "give a `preset`, or a `depth`, or a `config` with its `model_type`" },
  );

const optimizer = z.strictObject({
  name: z.enum(["adamw", "muon", "adamw8bit"]).default("adamw"),
  learningRate: z.number().positive().optional(),
  beta1: share.default(0.9),
  beta2: share.default(0.95),
  epsilon: z.number().positive().default(1e-8),
  weightDecay: z.number().min(0).default(0.1),
  clip: z.number().min(0).default(1),
});

const storage = z.strictObject({
  weights: z.enum(["float32", "bfloat16"]).default("float32"),
  states: z.enum(["float32", "bfloat16"]).default("float32"),
  rounding: z.enum(["stochastic", "nearest"]).default("stochastic"),
});

const schedule = z.strictObject({
  name: z.enum(["cosine", "linear", "wsd", "constant"]).default("cosine"),
  warmup: z.int().min(0).default(0),
  end: share.default(0.1),
  decayShare: share.default(0.2),
});

const training = z.strictObject({
  steps: count.optional(),
  batch: count.optional(),
  accumulate: count.default(1),
  time: count.optional(),
  dropout: z.number().min(0).lt(1).optional(),
  labelSmoothing: z.number().min(0).lt(1).default(0),
  zLoss: z.number().min(0).default(0),
  lossChunk: count.optional(),
  storage: storage.prefault({}),
  optimizer: optimizer.prefault({}),
  schedule: schedule.prefault({}),
});

const evaluation = z.strictObject({
  every: count.default(250),
  batches: count.optional(),
  batch: count.optional(),
});

const checkpoints = z.strictObject({
  every: count.default(500),
  keep: count.default(2),
  minutes: z.number().min(0).default(10),
});

const samples = z.strictObject({
  every: count,
  prompt: text.default("\n"),
  tokens: count.default(200),
  temperature: z.number().min(0).default(0.8),
  topK: count.optional(),
});

const guard = z.strictObject({
  threshold: z.number().positive().default(6),
  normThreshold: z.number().positive().optional(),
  window: z.int().min(2).default(128),
  action: z.enum(["skip", "rollback"]).default("skip"),
});

const recipe = z.strictObject({
  out: text,
  seed: z.int().min(0).max(0xffffffff).default(0),
  data,
  model,
  training: training.prefault({}),
  evaluation: evaluation.prefault({}),
  checkpoints: checkpoints.prefault({}),
  samples: samples.optional(),
  guard: guard.optional(),
  log: z.int().min(0).default(10),
});

/**
 * A recipe from an object, with everything filled in. Errors: ArgumentError that names the field.
 *
 * @example
 * const recipe = checkRecipe({ out: "runs/tiny", data: { text: "shakespeare" }, model: { preset: "shakespeare-tiny" } });
 * recipe.training.optimizer.clip; // 1
 */
export function checkRecipe(input: RecipeInput): Recipe {
  const result = recipe.safeParse(input);
  if (result.success) return result.data;
  const [problem] = problemsOf(result.error);
  throw new ArgumentError("recipe", problem!.text, problem!.hint === undefined ? {} : { hint: problem!.hint });
}

/** A recipe from YAML. Errors: FormatError `file:line: field: what is wrong`, all problems at once. */
export function parseRecipe(source: string, file: string = "recipe.yaml"): Recipe {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, uniqueKeys: true, strict: true });
  for (const { message, pos } of document.errors) {
    const { line } = lines.linePos(pos[0]);
    throw new FormatError(`${file}:${line}`, "yaml", message.split("\n")[0]!);
  }
  visit(document, (_, node) => {
    if (isAlias(node)) throw new FormatError(file, "yaml", "aliases are not read in recipes");
  });
  const result = recipe.safeParse(document.toJS());
  if (result.success) return result.data;
  const problems = problemsOf(result.error).map((one) => ({ ...one, line: lineOf(document, one.path, lines) }));
  const [first, ...rest] = problems.sort((a, b) => a.line - b.line);
  const others = rest.map(({ line, text: what }) => `\n${file}:${line}: ${what}`).join("");
  throw new FormatError(`${file}:${first!.line}`, "recipe", first!.text + others, {
    hint: first!.hint ?? "`chainrule init pretrain` writes a recipe with every field explained",
  });
}

/** Reads a recipe file. */
export async function readRecipe(path: string): Promise<Recipe> {
  return parseRecipe(await readFile(path, "utf8"), path);
}

interface Problem {
  readonly path: readonly PropertyKey[];
  readonly text: string;
  readonly hint?: string;
}

function problemsOf(error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => {
        const nearest = nearestName(key, keysAt(issue.path));
        return {
          path: [...issue.path, key],
          text: `${named(issue.path)}there is no \`${key}\``,
          hint: nearest === undefined ? `known are ${keysAt(issue.path).join(", ")}` : `did you mean \`${nearest}\`?`,
        };
      });
    }
    return [{ path: issue.path, text: named(issue.path) + issue.message }];
  });
}

function named(path: readonly PropertyKey[]): string {
  return path.length === 0 ? "" : `${path.join(".")}: `;
}

// The keys an object of the recipe may have.
function keysAt(path: readonly PropertyKey[]): string[] {
  const shapes: { readonly [path: string]: object } = {
    "": recipe.shape,
    data: data.shape,
    model: model.shape,
    training: training.shape,
    "training.storage": storage.shape,
    "training.optimizer": optimizer.shape,
    "training.schedule": schedule.shape,
    evaluation: evaluation.shape,
    checkpoints: checkpoints.shape,
    samples: samples.shape,
    guard: guard.shape,
  };
  return Object.keys(shapes[path.join(".")] ?? {});
}

// The line a field stands on; that of the nearest part there is where it is missing.
function lineOf(document: Document, path: readonly PropertyKey[], lines: LineCounter): number {
  for (let length = path.length; length > 0; length--) {
    const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const items = (
      parent as { items?: readonly { key?: { value?: unknown; range?: readonly number[] } }[] } | undefined
    )?.items;
    const range = items?.find(({ key }) => key?.value === path[length - 1])?.key?.range;
    if (range !== undefined) return lines.linePos(range[0]!).line;
  }
  return 1;
}
