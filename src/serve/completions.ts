// POST /v1/completions: texts after prompts, with log-probabilities in the API's older form.
import type { Tokenizer } from "../data/text/index.ts";
import type { GeneratedToken } from "../generate/index.ts";
import { promptIds, type OpenModel } from "../models/index.ts";
import type { AnswerKind, Logprobs, Piece } from "./answers.ts";
import { ApiError } from "./api-error.ts";
import type { PromptToken, TextEvent } from "./events.ts";
import type { CompletionRequest, TextSettings } from "./requests.ts";
import type { TextJob } from "./scheduler.ts";
import { tokenName } from "./token-names.ts";

/** What an endpoint makes of a request. */
export interface Asked {
  readonly jobs: readonly TextJob[];
  readonly kind: AnswerKind;
  /** Tokens of the prompts, each counted once. */
  readonly promptTokens: number;
}

/** The work of a request: n texts for each prompt, side by side; text i is drawn with seed + i. */
export function completionWork(opened: OpenModel, request: CompletionRequest): Asked {
  const { tokenizer, model } = opened;
  const { prompts, n, echo, logprobs } = request;
  const all = prompts.map((prompt) => (typeof prompt === "string" ? promptIds(opened, prompt) : prompt));
  for (const id of all.flat())
    if (id >= model.vocabSize) throw new ApiError(400, `token ${id} is not in the vocabulary`, { param: "prompt" });
  const jobs = all.flatMap((ids, i) =>
    Array.from({ length: n }, (_, j) => ({
      ...textJob(opened, request, { ids, index: i * n + j }),
      ...(echo && logprobs !== undefined ? { promptLogprobs: logprobs } : {}),
    })),
  );
  const echoed = prompts.flatMap((prompt) => {
    const text = !echo ? "" : typeof prompt === "string" ? prompt : tokenizer.decode(prompt);
    return Array.from({ length: n }, () => text);
  });
  return {
    jobs,
    kind: new CompletionAnswer({ tokenizer, echoed, logprobs, endTokens: opened.endTokens }),
    promptTokens: all.reduce((sum, { length }) => sum + length, 0),
  };
}

/** One text of a request. */
export function textJob(
  { tokenizer, endTokens, model }: OpenModel,
  { sampling, seed, stop, maxTokens, logprobs, bias }: TextSettings,
  { ids, index }: { readonly ids: readonly number[]; readonly index: number },
): TextJob {
  for (const id of bias.keys())
    if (id >= model.vocabSize) throw new ApiError(400, `token ${id} is not in the vocabulary`, { param: "logit_bias" });
  return {
    prompt: ids,
    options: {
      ...sampling,
      tokenizer,
      stop,
      stopTokens: endTokens,
      seed: seed + index,
      bias,
      ...(maxTokens === undefined ? {} : { maxTokens }),
      ...(logprobs === undefined ? {} : { logprobs }),
    },
  };
}

interface Settings {
  readonly tokenizer: Tokenizer;
  /** The prompts to repeat, by text. */
  readonly echoed: readonly string[];
  readonly logprobs: number | undefined;
  readonly endTokens: readonly number[];
}

class CompletionAnswer implements AnswerKind {
  readonly prefix = "cmpl";
  readonly object = "text_completion";
  readonly chunkObject = "text_completion";
  readonly #settings: Settings;
  /** How much text each choice has: where its next token begins. */
  readonly #offsets: number[];
  readonly #special: ReadonlySet<number>;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#offsets = settings.echoed.map(() => 0);
    this.#special = new Set(settings.tokenizer.specialTokens.values());
  }

  // With log-probabilities the prompt comes with those of its tokens.
  opening(index: number): Piece | undefined {
    const text = this.#settings.echoed[index]!;
    if (text === "" || this.#settings.logprobs !== undefined) return undefined;
    return { index, text, logprobs: null, finish: null };
  }

  piece(event: TextEvent): Piece | undefined {
    const { index } = event;
    const { echoed, logprobs, endTokens } = this.#settings;
    if ("prompt" in event)
      return { index, text: echoed[index]!, logprobs: this.#logprobs(index, event.prompt), finish: null };
    const { id, text, finish = null } = event.token;
    const ended = finish === "stop" && endTokens.includes(id);
    const told = logprobs === undefined || ended ? null : this.#logprobs(index, [event.token]);
    return text === "" && finish === null && told === null ? undefined : { index, text, logprobs: told, finish };
  }

  choice({ index, text, logprobs, finish }: Piece): object {
    return { text, index, logprobs, finish_reason: finish };
  }

  deltas(piece: Piece): readonly object[] {
    return [this.choice(piece)];
  }

  firstDeltas(): readonly object[] {
    return [];
  }

  #logprobs(index: number, tokens: readonly (PromptToken | GeneratedToken)[]): Logprobs {
    const { tokenizer, logprobs } = this.#settings;
    const names = tokens.map(({ id }) => tokenName(tokenizer, id));
    const offsets = tokens.map((token, i) => {
      const at = this.#offsets[index]!;
      // Generated special tokens are no part of the text.
      const shown = !("text" in token) || !this.#special.has(token.id);
      this.#offsets[index] = at + (shown ? names[i]!.length : 0);
      return at;
    });
    const tops = tokens.map(({ id, logprob, top = [] }) => {
      if (logprob === undefined || logprobs === 0) return null;
      // The chosen token is told even where it is none of the most probable ones.
      const all = top.map((one) => [tokenName(tokenizer, one.id), one.logprob] as const);
      return Object.fromEntries([...all, [tokenName(tokenizer, id), logprob]]);
    });
    return {
      tokens: names,
      token_logprobs: tokens.map(({ logprob }) => logprob ?? null),
      top_logprobs: tops,
      text_offset: offsets,
    };
  }
}
