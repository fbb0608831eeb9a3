// Requests: the bodies of the API, field by field. What is not understood is refused by its name, never ignored.
import * as z from "zod";
import { FormatError, isPlainObject } from "../engine/core/index.ts";
import { parseJson, type JsonValue } from "../data/formats/index.ts";
import type { ContinuationOptions } from "../generate/index.ts";
import { ApiError } from "./api-error.ts";

/** What both kinds of request say about how texts are generated. */
export interface TextSettings {
  readonly model: string;
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly bias: ReadonlyMap<number, number>;
  /** Drawn at random where the request has none. */
  readonly seed: number;
  readonly stop: readonly string[];
  /** Undefined: until the context is full. */
  readonly maxTokens: number | undefined;
  readonly sampling: Pick<
    ContinuationOptions,
    "temperature" | "topP" | "topK" | "minP" | "presencePenalty" | "frequencyPenalty" | "repetitionPenalty"
  >;
  /** How many of the most probable tokens are told with each; undefined tells none. */
  readonly logprobs: number | undefined;
}

export interface CompletionRequest extends TextSettings {
  /** Texts or ids. */
  readonly prompts: readonly (string | readonly number[])[];
  readonly echo: boolean;
}

export interface Message {
  readonly role: "system" | "developer" | "user" | "assistant";
  readonly content: string;
  readonly name?: string;
}

export interface ChatRequest extends TextSettings {
  readonly messages: readonly Message[];
}

const whole = (least: number, most: number): z.ZodType<number> => z.int().min(least).max(most);
const decimal = (least: number, most: number): z.ZodType<number> => z.number().min(least).max(most);

/** Most texts one request may ask for. */
const MOST_TEXTS = 128;

// Fields of both. Labels change nothing about a text and are taken as they come.
const common = {
  model: z.string(),
  n: whole(1, MOST_TEXTS).optional(),
  stream: z.boolean().optional(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).optional(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).optional(),
  temperature: decimal(0, 2).optional(),
  top_p: decimal(0, 1).optional(),
  top_k: whole(1, 2 ** 31).optional(),
  min_p: decimal(0, 1).optional(),
  repetition_penalty: z.number().positive().optional(),
  presence_penalty: decimal(-2, 2).optional(),
  frequency_penalty: decimal(-2, 2).optional(),
  logit_bias: z.record(z.string().regex(/^\d+$/), decimal(-100, 100)).optional(),
  seed: whole(0, 2 ** 52).optional(),
  user: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
};

const ids = z.array(whole(0, 2 ** 31 - 1)).min(1);
const completionBody = z.strictObject({
  ...common,
  prompt: z.union([z.string(), ids, z.array(z.string()).min(1), z.array(ids).min(1)]).optional(),
  max_tokens: whole(0, 2 ** 31).optional(),
  logprobs: whole(0, 5).optional(),
  echo: z.boolean().optional(),
  best_of: z.literal(1).optional(),
});

const part = z.strictObject({ type: z.literal("text"), text: z.string() });
const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union([z.string(), z.array(part)]),
  name: z.string().optional(),
});
const chatBody = z.strictObject({
  ...common,
  messages: z.array(message).min(1),
  max_tokens: whole(1, 2 ** 31).optional(),
  max_completion_tokens: whole(1, 2 ** 31).optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: whole(0, 20).optional(),
  response_format: z.strictObject({ type: z.literal("text") }).optional(),
  modalities: z.tuple([z.literal("text")]).optional(),
  store: z.literal(false).optional(),
});

/** Reads the body of POST /v1/completions. */
export function completionRequest(body: string): CompletionRequest {
  const given = checked(completionBody, body);
  const { prompt } = given;
  const maxTokens = given.max_tokens ?? 16;
  const echo = given.echo ?? false;
  if (maxTokens === 0 && !echo)
    throw new ApiError(400, "max_tokens: 0 tells of the prompt alone and needs echo: true", { param: "max_tokens" });
  const many = Array.isArray(prompt) && typeof prompt[0] !== "number";
  const prompts = many ? (prompt as string[] | number[][]) : [(prompt ?? "") as string | number[]];
  const settings = settingsOf(given, { maxTokens, logprobs: given.logprobs });
  if (prompts.length * settings.n > MOST_TEXTS) {
    const received = `received ${prompts.length} prompts and n = ${settings.n}`;
    throw new ApiError(400, `a request has at most ${MOST_TEXTS} texts: ${received}`, { param: "n" });
  }
  return { ...settings, prompts, echo };
}

/** Reads the body of POST /v1/chat/completions. */
export function chatRequest(body: string): ChatRequest {
  const given = checked(chatBody, body);
  const { max_tokens: old, max_completion_tokens: most, logprobs, top_logprobs: top } = given;
  if (typeof old === "number" && typeof most === "number" && old !== most)
    throw new ApiError(400, "max_tokens and max_completion_tokens say different things", { param: "max_tokens" });
  if (typeof top === "number" && logprobs !== true)
    throw new ApiError(400, "top_logprobs needs logprobs: true", { param: "top_logprobs" });
  const messages = given.messages.map(({ role, content, name }): Message => {
    const text = typeof content === "string" ? content : content.map((one) => one.text).join("");
    return { role, content: text, ...(name === undefined ? {} : { name }) };
  });
  const told = logprobs === true ? (top ?? 0) : undefined;
  return { ...settingsOf(given, { maxTokens: most ?? old, logprobs: told }), messages };
}

type Common = z.infer<z.ZodObject<typeof common>>;

function settingsOf(
  given: Common,
  rest: { readonly maxTokens: number | undefined; readonly logprobs: number | undefined },
): TextSettings {
  const stop = given.stop ?? [];
  const stream = given.stream ?? false;
  if (!stream && given.stream_options !== undefined)
    throw new ApiError(400, "stream_options needs stream: true", { param: "stream_options" });
  const { top_k: topK, min_p: minP, repetition_penalty: repetitionPenalty } = given;
  return {
    ...rest,
    model: given.model,
    n: given.n ?? 1,
    stream,
    includeUsage: given.stream_options?.include_usage ?? false,
    bias: new Map(Object.entries(given.logit_bias ?? {}).map(([id, value]) => [Number(id), value])),
    seed: given.seed ?? Math.floor(Math.random() * 2 ** 48),
    stop: typeof stop === "string" ? [stop] : stop,
    sampling: {
      temperature: given.temperature ?? 1,
      // No share at all leaves the most probable token.
      topP: Math.max(given.top_p ?? 1, Number.MIN_VALUE),
      presencePenalty: given.presence_penalty ?? 0,
      frequencyPenalty: given.frequency_penalty ?? 0,
      ...(topK === undefined ? {} : { topK }),
      ...(minP === undefined ? {} : { minP }),
      ...(repetitionPenalty === undefined ? {} : { repetitionPenalty }),
    },
  };
}

function checked<T>(schema: z.ZodType<T>, body: string): T {
  let value: JsonValue;
  try {
    value = parseJson(body, { where: "body" });
  } catch (error) {
    if (error instanceof FormatError) throw new ApiError(400, error.message);
    throw error;
  }
  // null is what was left out, as in OpenAI's API.
  if (isPlainObject(value)) value = Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const issue = error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const param = [...issue.path, issue.keys[0]!].join(".");
    throw new ApiError(400, `${param} is not supported by this server`, { param, code: "unsupported_parameter" });
  }
  const param = issue.path.length === 0 ? null : issue.path.join(".");
  const shown = JSON.stringify(param === null ? value : at(value, issue.path));
  const received = shown === undefined ? "nothing" : shown.length > 60 ? `${shown.slice(0, 60)}…` : shown;
  throw new ApiError(400, `${param ?? "body"}: ${issue.message}: received ${received}`, { param });
}

function at(value: JsonValue, path: readonly PropertyKey[]): JsonValue | undefined {
  let here: JsonValue | undefined = value;
  for (const key of path) here = (here as { [key: PropertyKey]: JsonValue } | null | undefined)?.[key];
  return here;
}
