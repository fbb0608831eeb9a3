// generate: a stream of tokens from a model and a prompt; several prompts side by side.
import { ArgumentError } from "../engine/core/index.ts";
import type { CausalLM } from "../models/index.ts";
import type { NamedTensors } from "../learn/nn/index.ts";
import { Continuation, type ContinuationOptions, type GeneratedToken } from "./continuation.ts";
import { Decoder } from "./decoder.ts";

export interface GenerateOptions extends ContinuationOptions {
  /** Values of the weights by path; the model's own unless said. */
  readonly values?: NamedTensors;
  /** A decoder that is kept from call to call: its plans are compiled once. Its slot 0 is used. */
  readonly decoder?: Decoder;
  /**
   * What happens when the row is full: "error" refuses it beforehand where `maxTokens` are known not to fit, and ends the
   * text otherwise ("length"); "slide" goes on with the last half of the row, computed again. "error" unless said.
   */
  readonly overflow?: "error" | "slide";
  /** Ends the stream after the token under way. */
  readonly signal?: AbortSignal;
}

/**
 * Tokens of a model after a prompt, as they come. The same seed gives the same tokens; temperature 0 takes the most
 * probable one each time. The last token says why it is the last.
 * Errors: ArgumentError for a prompt that is empty or does not fit.
 *
 * @example
 * const lm = createModel(presets["shakespeare-tiny"]!).init(0, { dtype: "int32", shape: [1, 1] });
 * const found: number[] = [];
 * for await (const { id } of generate(lm, [1, 2], { maxTokens: 5, temperature: 0.8 })) found.push(id);
 * found.length; // 5
 */
export async function* generate(
  model: CausalLM,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<GeneratedToken, void, undefined> {
  const decoder = options.decoder ?? decoderFor(model, options);
  if (decoder.model !== model) throw new ArgumentError("decoder", "is of another model");
  const text = new Continuation(prompt, options);
  const slide = options.overflow === "slide";
  expectFits(decoder.length, prompt.length, { maxTokens: options.maxTokens, slide });
  decoder.rewind(0);
  let logits = await decoder.prefill(0, slide ? text.ids.slice(-decoder.length) : text.ids);
  for (;;) {
    const full = decoder.filled(0) >= decoder.length;
    const token = text.next(logits, { last: full && !slide });
    yield token;
    if (token.finish !== undefined || options.signal?.aborted === true) return;
    if (full) {
      decoder.rewind(0);
      logits = await decoder.prefill(0, text.ids.slice(-Math.max(1, decoder.length >> 1)));
    } else [logits] = (await decoder.step([{ slot: 0, id: token.id }])) as [Float32Array];
  }
}

/** A token of one of several texts. */
export interface BatchToken extends GeneratedToken {
  /** Number of its prompt. */
  readonly index: number;
}

export interface GenerateBatchOptions extends Omit<GenerateOptions, "overflow"> {
  /** Texts that go on at the same time; the others wait for a free place. All, at most 16, unless said. */
  readonly slots?: number;
}

/**
 * Tokens after several prompts, which go through the model together: a step costs little more than that of one text.
 * Text i is drawn with seed + i, and is the text that `generate` gives for that seed.
 *
 * @example
 * const lm = createModel(presets["shakespeare-tiny"]!).init(0, { dtype: "int32", shape: [1, 1] });
 * const counts = [0, 0];
 * for await (const { index } of generateBatch(lm, [[1, 2], [3]], { maxTokens: 4 })) counts[index]!++;
 * counts; // [4, 4]
 */
export async function* generateBatch(
  model: CausalLM,
  prompts: readonly ArrayLike<number>[],
  options: GenerateBatchOptions = {},
): AsyncGenerator<BatchToken, void, undefined> {
  if (prompts.length === 0) return;
  const decoder =
    options.decoder ?? decoderFor(model, { ...options, slots: options.slots ?? Math.min(16, prompts.length) });
  if (decoder.model !== model) throw new ArgumentError("decoder", "is of another model");
  for (const prompt of prompts) expectFits(decoder.length, prompt.length, { maxTokens: options.maxTokens });
  const waiting = prompts.map((prompt, index) => {
    const text = new Continuation(prompt, { ...options, seed: (options.seed ?? 0) + index });
    return { index, text };
  });
  const running = new Map<number, { readonly index: number; readonly text: Continuation }>();
  const free = Array.from({ length: decoder.slots }, (_, slot) => slot);
  while (waiting.length > 0 || running.size > 0) {
    const begun: BatchToken[] = [];
    const take = (slot: number, logits: Float32Array): void => {
      const { index, text } = running.get(slot)!;
      const last = decoder.filled(slot) >= decoder.length;
      const token = text.next(logits, { last });
      begun.push({ index, ...token });
      if (token.finish === undefined) return;
      running.delete(slot);
      free.push(slot);
    };
    const stepping = [...running.keys()];
    if (stepping.length > 0) {
      const tokens = stepping.map((slot) => ({ slot, id: running.get(slot)!.text.ids.at(-1)! }));
      const all = await decoder.step(tokens);
      stepping.forEach((slot, i) => take(slot, all[i]!));
    }
    while (free.length > 0 && waiting.length > 0) {
      const [slot, one] = [free.pop()!, waiting.shift()!];
      decoder.rewind(slot);
      running.set(slot, one);
      take(slot, await decoder.prefill(slot, one.text.ids));
    }
    for (const token of begun) yield token;
    if (options.signal?.aborted === true) return;
  }
}

function decoderFor(
  model: CausalLM,
  { values, slots = 1 }: { readonly values?: NamedTensors | undefined; readonly slots?: number },
): Decoder {
  return new Decoder(model, { slots, ...(values === undefined ? {} : { values }) });
}

/** Refuses a prompt and a number of tokens that do not fit into a row of so many places. */
export function expectFits(
  length: number,
  prompt: number,
  { maxTokens = 1, slide = false }: { readonly maxTokens?: number | undefined; readonly slide?: boolean },
): void {
  // The last token is never put back in.
  const needed = prompt + (Number.isFinite(maxTokens) ? maxTokens : 1) - 1;
  if (slide || needed <= length) return;
  throw new ArgumentError(
    "context",
    `the model has ${length} places: received a prompt of ${prompt} tokens and ${maxTokens} to generate`,
    { hint: 'shorten the prompt, lower maxTokens, or set overflow: "slide" (--slide)' },
  );
}
