// Continuation: one text under generation. It is given logits and says the next token, its text, and when it is over.
import { ArgumentError } from "../engine/core/index.ts";
import type { StreamDecoder, Tokenizer } from "../data/text/index.ts";
import { best, logProbabilities, Sampler, type History, type SamplingOptions } from "./sampler.ts";
import { StopWatch } from "./stop.ts";

/** How a text goes on and where it ends. */
export interface ContinuationOptions extends SamplingOptions {
  /** Tokens to generate at most; Infinity unless said. */
  readonly maxTokens?: number;
  /** Strings that end the text; they are not part of it. Needs the tokenizer. */
  readonly stop?: string | readonly string[];
  /** Tokens that end the text (end of text); they have no text of their own. */
  readonly stopTokens?: readonly number[];
  /**
   * Makes `text` of tokens; without it texts are empty. Tokens it does not know are never chosen: the vocabularies of models
   * are padded to round sizes.
   */
  readonly tokenizer?: Tokenizer;
  /** Added to the logits of tokens (as OpenAI's `logit_bias`). */
  readonly bias?: ReadonlyMap<number, number>;
  /** How many of the most probable tokens are told with each one; undefined tells no log-probabilities. */
  readonly logprobs?: number;
}

/** Why a text is over. */
export type FinishReason = "stop" | "length";

/** One token of a text. */
export interface GeneratedToken {
  readonly id: number;
  /** The text that is certain with this token: whole characters, no part of a stop string. */
  readonly text: string;
  /** `ln p` under the model, before penalties and temperature. Only where `logprobs` were asked for. */
  readonly logprob?: number;
  /** The most probable tokens here, the most probable first. */
  readonly top?: readonly { readonly id: number; readonly logprob: number }[];
  /** Set on the last token. */
  readonly finish?: FinishReason;
}

/** One text under generation: what a server holds for a request. */
export class Continuation {
  /** All tokens so far, the prompt first. */
  readonly ids: number[];
  readonly sampler: Sampler;
  readonly maxTokens: number;
  readonly #prompt: number;
  readonly #generated = new Map<number, number>();
  readonly #seen: Set<number>;
  readonly #stopTokens: ReadonlySet<number>;
  readonly #logprobs: number | undefined;
  readonly #stream: StreamDecoder | undefined;
  readonly #watch: StopWatch;
  readonly #known: number;
  readonly #bias: ReadonlyMap<number, number>;
  #finish: FinishReason | undefined;

  constructor(prompt: ArrayLike<number>, options: ContinuationOptions = {}) {
    const { maxTokens = Infinity, stop = [], stopTokens = [], tokenizer, logprobs, bias = new Map() } = options;
    if (prompt.length === 0) {
      throw new ArgumentError("prompt", "needs at least one token: received none", {
        hint: "begin with the token that begins documents",
      });
    }
    if (!(maxTokens >= 1)) throw new ArgumentError("maxTokens", `must be at least 1: received ${maxTokens}`);
    if (logprobs !== undefined && !(Number.isInteger(logprobs) && logprobs >= 0))
      throw new ArgumentError("logprobs", `must be a whole number ≥ 0: received ${logprobs}`);
    const stops = typeof stop === "string" ? [stop] : stop;
    if (stops.length > 0 && tokenizer === undefined)
      throw new ArgumentError("stop", "strings need the tokenizer: received none");
    this.ids = Array.from(prompt);
    this.maxTokens = maxTokens;
    this.sampler = new Sampler(options);
    this.#prompt = prompt.length;
    this.#seen = new Set(this.ids);
    this.#stopTokens = new Set(stopTokens);
    this.#logprobs = logprobs;
    this.#stream = tokenizer?.streamDecoder({ skipSpecial: true });
    this.#watch = new StopWatch(stops);
    this.#known = tokenizer?.vocabSize ?? Infinity;
    this.#bias = bias;
  }

  /** Why the text is over; undefined while it goes on. */
  get finish(): FinishReason | undefined {
    return this.#finish;
  }
  /** Tokens generated. */
  get generated(): number {
    return this.ids.length - this.#prompt;
  }
  get history(): History {
    return { generated: this.#generated, seen: this.#seen };
  }

  /** The logits a choice is made from: of tokens the tokenizer knows, with the bias. */
  choosable(logits: Float32Array): Float32Array {
    const known = this.#ofKnown(logits);
    if (this.#bias.size === 0) return known;
    const biased = known.slice();
    for (const [id, value] of this.#bias) if (id < biased.length) biased[id]! += value;
    return biased;
  }

  /** Chooses the next token from its logits. `last` ends the text here. */
  next(logits: Float32Array, options: { readonly last?: boolean } = {}): GeneratedToken {
    return this.accept(this.sampler.sample(this.choosable(logits), this.history, this.generated), logits, options);
  }

  /** Takes a token chosen elsewhere; `logits` are needed where log-probabilities were asked for. `last` ends the text here. */
  accept(id: number, logits?: Float32Array, { last = false }: { readonly last?: boolean } = {}): GeneratedToken {
    if (this.#finish !== undefined) throw new ArgumentError("continuation", "is over: received another token");
    this.ids.push(id);
    this.#seen.add(id);
    this.#generated.set(id, (this.#generated.get(id) ?? 0) + 1);
    const stopToken = this.#stopTokens.has(id);
    const released = this.#watch.push(stopToken ? "" : (this.#stream?.push(id) ?? ""));
    let { text } = released;
    if (stopToken || released.stopped !== undefined) this.#finish = "stop";
    else if (last || this.generated >= this.maxTokens) this.#finish = "length";
    if (this.#finish !== undefined && released.stopped === undefined) {
      // What is left may still hold a stop string: bytes that were no character until now.
      const rest = this.#watch.push(this.#stream?.end() ?? "");
      if (rest.stopped !== undefined) this.#finish = "stop";
      text += rest.text + (rest.stopped === undefined ? this.#watch.end() : "");
    }
    return { id, text, ...this.#told(id, logits), ...(this.#finish === undefined ? {} : { finish: this.#finish }) };
  }

  #told(id: number, logits: Float32Array | undefined): Pick<GeneratedToken, "logprob" | "top"> {
    if (this.#logprobs === undefined) return {};
    if (logits === undefined) throw new ArgumentError("logprobs", "need the logits: received none");
    const known = this.#ofKnown(logits);
    const top = this.#logprobs === 0 ? [] : Array.from(best(known, Math.min(this.#logprobs, known.length)));
    const [logprob, ...others] = logProbabilities(logits, [id, ...top]);
    return { logprob: logprob!, top: top.map((token, i) => ({ id: token, logprob: others[i]! })) };
  }

  #ofKnown(logits: Float32Array): Float32Array {
    return logits.length > this.#known ? logits.subarray(0, this.#known) : logits;
  }
}
