// Speculative decoding: a small model guesses some tokens, the large one checks them in one pass. Exact: the text has the
// distribution of the large model alone (Leviathan et al. 2023; Chen et al. 2023).
import { ArgumentError } from "../engine/core/index.ts";
import type { CausalLM } from "../models/index.ts";
import { Continuation, type GeneratedToken } from "./continuation.ts";
import { Decoder } from "./decoder.ts";
import { expectFits, type GenerateOptions } from "./generate.ts";
import type { Candidates, History, Sampler } from "./sampler.ts";

export interface SpeculativeOptions extends Omit<GenerateOptions, "overflow"> {
  /** The model that guesses: the same tokens, less work. */
  readonly draft: CausalLM;
  /** Tokens it guesses at a time; 4 unless said. */
  readonly draftTokens?: number;
  /** Told of each check: how many tokens were guessed, and how many of them were right. */
  readonly onCheck?: (guessed: number, accepted: number) => void;
}

// Draws at one place: the guess, the decision about it, and the token instead of a wrong guess.
const [GUESS, DECISION, INSTEAD] = [1, 2, 3] as const;

/**
 * Tokens of `model` after a prompt, as `generate` gives them, with the guesses of a draft model. With temperature 0 the
 * same tokens; else the same distribution, though other draws. It pays where the draft is often right and much faster.
 *
 * @example
 * const lm = createModel(presets["shakespeare-tiny"]!).init(0, { dtype: "int32", shape: [1, 1] });
 * const found: number[] = [];
 * for await (const { id } of generateSpeculative(lm, [1, 2], { draft: lm, maxTokens: 6, temperature: 0 })) found.push(id);
 * found.length; // 6
 */
export async function* generateSpeculative(
  model: CausalLM,
  prompt: ArrayLike<number>,
  options: SpeculativeOptions,
): AsyncGenerator<GeneratedToken, void, undefined> {
  const { draft, draftTokens = 4, onCheck } = options;
  if (!Number.isInteger(draftTokens) || draftTokens < 1)
    throw new ArgumentError("draftTokens", `must be a whole number ≥ 1: received ${draftTokens}`);
  if (draft.vocabSize !== model.vocabSize) {
    throw new ArgumentError("draft", `has ${draft.vocabSize} tokens, the model ${model.vocabSize}`, {
      hint: "both models need one tokenizer",
    });
  }
  const target = options.decoder ?? new Decoder(model, options.values === undefined ? {} : { values: options.values });
  if (target.model !== model) throw new ArgumentError("decoder", "is of another model");
  const length = Math.min(target.length, draft.contextLength);
  expectFits(length, prompt.length, { maxTokens: options.maxTokens });
  const guesser = new Decoder(draft);
  const text = new Continuation(prompt, options);
  target.rewind(0);
  const first = await target.prefill(0, text.ids);
  let token = text.next(first, { last: prompt.length >= length });
  yield token;
  // From here on the last token of the text is in neither cache.
  while (token.finish === undefined && options.signal?.aborted !== true) {
    const room = length - text.ids.length;
    const count = Math.min(draftTokens, text.maxTokens - text.generated - 1, room);
    const guesses = await guess(guesser, text, count);
    const last = text.ids.at(-1)!;
    const rows = await target.extend(0, [last, ...guesses.map(({ id }) => id)]);
    let accepted = 0;
    for (let i = 0; i <= guesses.length; i++) {
      const wanted = text.sampler.candidates(text.choosable(rows[i]!), text.history);
      const one = guesses[i];
      const right = one !== undefined && isRight(one, wanted, { sampler: text.sampler, place: text.generated });
      const id = right
        ? one.id
        : text.sampler.draw(one === undefined ? wanted : without(wanted, one.from), text.generated, INSTEAD);
      token = text.accept(id, rows[i], { last: text.ids.length >= length });
      if (right) accepted++;
      yield token;
      if (token.finish !== undefined || !right) break;
    }
    onCheck?.(guesses.length, accepted);
    // What was guessed wrongly is forgotten; the last token is still to come.
    target.rewind(0, Math.min(target.filled(0), text.ids.length - 1));
    guesser.rewind(0, Math.min(guesser.filled(0), text.ids.length - 1));
  }
}

interface Guess {
  readonly id: number;
  /** What it was drawn from. */
  readonly from: Candidates;
}

// The draft's next tokens, each drawn from its own distribution.
async function guess(decoder: Decoder, text: Continuation, count: number): Promise<Guess[]> {
  const guesses: Guess[] = [];
  if (count < 1) return guesses;
  const generated = new Map(text.history.generated);
  const seen = new Set(text.history.seen);
  const history: History = { generated, seen };
  let logits = await decoder.prefill(0, text.ids.slice(decoder.filled(0)));
  for (;;) {
    const from = text.sampler.candidates(text.choosable(logits), history);
    const id = text.sampler.draw(from, text.generated + guesses.length, GUESS);
    guesses.push({ id, from });
    if (guesses.length === count) return guesses;
    seen.add(id);
    generated.set(id, (generated.get(id) ?? 0) + 1);
    [logits] = (await decoder.step([{ slot: 0, id }])) as [Float32Array];
  }
}

// A guess drawn with probability q is taken with probability min(1, p / q).
function isRight(
  { id, from }: Guess,
  wanted: Candidates,
  { sampler, place }: { readonly sampler: Sampler; readonly place: number },
): boolean {
  const [p, q] = [probability(wanted, id), probability(from, id)];
  return sampler.uniform(place, DECISION) * q < p;
}

/** `max(0, p − q)` over its sum: what makes up for the guesses that were taken. */
function without(wanted: Candidates, from: Candidates): Candidates {
  const q = new Map(Array.from(from.ids, (id, i) => [id, from.probabilities[i]!]));
  const rest = Float64Array.from(wanted.ids, (id, i) => Math.max(0, wanted.probabilities[i]! - (q.get(id) ?? 0)));
  const total = rest.reduce((sum, x) => sum + x, 0);
  // Equal distributions leave nothing but rounding; a guess is then wrong by rounding only.
  return total > 0 ? { ids: wanted.ids, probabilities: rest.map((x) => x / total) } : wanted;
}

function probability({ ids, probabilities }: Candidates, id: number): number {
  const at = ids.indexOf(id);
  return at < 0 ? 0 : probabilities[at]!;
}
