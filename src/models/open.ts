// A model as one speaks to it: a model folder, or a run that holds one, with the tokens that begin and end its texts.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ArgumentError, FormatError, isPlainObject } from "../engine/core/index.ts";
import { parseJson, type JsonValue } from "../data/formats/index.ts";
import { END_TOKENS, type Tokenizer } from "../data/text/index.ts";
import { loadModelFolder, MODEL_FILES } from "./folder.ts";
import type { CausalLM } from "./parts/causal-lm.ts";

/** A model with everything that text in and text out need. */
export interface OpenModel {
  /** The model folder itself. */
  readonly folder: string;
  /** What it is called: the name of the folder, or of the run. */
  readonly name: string;
  readonly model: CausalLM;
  readonly tokenizer: Tokenizer;
  /** Tokens that end a text. */
  readonly endTokens: readonly number[];
  /** The token an empty prompt begins with; undefined where the model has none. */
  readonly beginToken: number | undefined;
  /** How messages become a prompt: the Jinja template of tokenizer_config.json or chat_template.jinja. */
  readonly chatTemplate: string | undefined;
  /** The texts templates know by name: bos_token, eos_token, … */
  readonly templateTokens: { readonly [name: string]: string };
}

/**
 * Opens a model folder, or a run folder that has one in `model/`.
 * The tokens that end a text are those of config.json, generation_config.json (`eos_token_id`) and tokenizer_config.json
 * (`eos_token`); where none of these says one, `<|endoftext|>`, `<|end_of_text|>` or `</s>` if it is a special token.
 * Errors: FormatError for what is no model folder, lacks a tokenizer, or has one with more tokens than the model.
 *
 * @example no-run
 * const { model, tokenizer } = await openModel("runs/shakespeare");
 */
export async function openModel(folder: string): Promise<OpenModel> {
  const inside = join(folder, "model");
  // A run has a config.json as well, of the run; weights lie in its model alone.
  const isRun = !existsSync(join(folder, MODEL_FILES.weights)) && existsSync(join(inside, MODEL_FILES.config));
  const home = isRun ? inside : folder;
  const { model, tokenizer } = await loadModelFolder(home);
  if (tokenizer === undefined) {
    throw new FormatError(home, "model-folder", `has no ${MODEL_FILES.tokenizer}: text cannot become tokens`, {
      hint: "put the tokenizer the model was trained with beside its weights",
    });
  }
  if (tokenizer.vocabSize > model.vocabSize) {
    throw new FormatError(
      home,
      "model-folder",
      `the tokenizer has ${tokenizer.vocabSize} tokens and the model only ${model.vocabSize}: they do not belong together`,
    );
  }
  const words = await optionalJson(join(home, "tokenizer_config.json"));
  const settings = await optionalJson(join(home, "generation_config.json"));
  const templateTokens = tokenTexts(words);
  const ids = (value: JsonValue | undefined): number[] =>
    [value].flat().filter((id): id is number => typeof id === "number");
  const named = (name: string): number[] => {
    const text = templateTokens[name];
    const id = text === undefined ? undefined : tokenizer.tokenId(text);
    return id === undefined ? [] : [id];
  };
  const { eos_token_id: end, bos_token_id: begin } = model.configJson;
  const said = [...ids(end), ...ids(settings["eos_token_id"]), ...named("eos_token")];
  // Where no file names one.
  const usual = END_TOKENS.map((text) => tokenizer.specialTokens.get(text)).filter((id) => id !== undefined);
  const endTokens = [...new Set(said.length > 0 ? said : usual.slice(0, 1))];
  const [beginToken] = [...ids(begin), ...named("bos_token"), ...endTokens];
  const path = resolve(folder);
  const name = basename(basename(path) === "model" ? dirname(path) : path);
  const chatTemplate = await templateOf(home, words);
  return { folder: home, name, model, tokenizer, endTokens, beginToken, chatTemplate, templateTokens };
}

/**
 * The ids of a prompt, with what the tokenizer's file puts around a text; an empty one is the token that begins texts.
 * Special tokens in the text are text unless allowed. Errors: ArgumentError where nothing is left to begin with.
 */
export function promptIds(
  { tokenizer, beginToken }: Pick<OpenModel, "tokenizer" | "beginToken">,
  text: string,
  { allowSpecial = false }: { readonly allowSpecial?: boolean } = {},
): number[] {
  const allowed = allowSpecial ? ({ allowedSpecial: "all" } as const) : {};
  const ids = Array.from(tokenizer.encode(text, { addSpecialTokens: true, ...allowed }));
  if (ids.length > 0) return ids;
  if (beginToken !== undefined) return [beginToken];
  throw new ArgumentError("prompt", "is empty, and the model has no token that begins a text", {
    hint: "give it at least one character to go on from",
  });
}

async function optionalJson(path: string): Promise<{ readonly [key: string]: JsonValue }> {
  if (!existsSync(path)) return {};
  const value = parseJson(await readFile(path, "utf8"), { where: path });
  if (!isPlainObject(value)) throw new FormatError(path, "config", "is not an object");
  return value;
}

// `"eos_token": "</s>"` or `"eos_token": { "content": "</s>", … }`.
function tokenTexts(words: { readonly [key: string]: JsonValue }): { readonly [name: string]: string } {
  const texts = Object.entries(words).flatMap(([name, value]) => {
    if (!name.endsWith("_token")) return [];
    const text = isPlainObject(value) ? value["content"] : value;
    return typeof text === "string" ? [[name, text] as const] : [];
  });
  return Object.fromEntries(texts);
}

// One template, or several by name of which "default" is meant.
async function templateOf(
  folder: string,
  { chat_template: template }: { readonly [key: string]: JsonValue },
): Promise<string | undefined> {
  const file = join(folder, "chat_template.jinja");
  if (existsSync(file)) return readFile(file, "utf8");
  if (template === undefined || template === null) return undefined;
  if (typeof template === "string") return template;
  const list = Array.isArray(template) ? template : [];
  const found = list.find((one) => isPlainObject(one) && one["name"] === "default");
  const text = isPlainObject(found) ? found["template"] : undefined;
  if (typeof text === "string") return text;
  throw new FormatError(
    join(folder, "tokenizer_config.json"),
    "config",
    'chat_template is neither a text nor a list with a "default"',
  );
}
