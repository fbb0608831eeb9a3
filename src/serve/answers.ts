// Answers: what happens to the texts of a request, as OpenAI's objects, whole or in pieces. The whole is the pieces joined.
import type { FinishReason } from "../generate/index.ts";
import type { TextEvent } from "./events.ts";

/** Lists of log-probabilities by their names in the API. */
export type Logprobs = { readonly [list: string]: readonly unknown[] };

/** What one event adds to a text. */
export interface Piece {
  readonly index: number;
  readonly text: string;
  readonly logprobs: Logprobs | null;
  readonly finish: FinishReason | null;
}

/** How one endpoint says what it has to say. */
export interface AnswerKind {
  /** Before the id: `cmpl-…`, `chatcmpl-…`. */
  readonly prefix: string;
  /** The `object` of whole answers, and of pieces. */
  readonly object: string;
  readonly chunkObject: string;
  /** Pieces that stand before the first event. */
  opening(index: number): Piece | undefined;
  /** What an event adds; undefined for nothing. */
  piece(event: TextEvent): Piece | undefined;
  /** A text as an element of `choices`. */
  choice(text: Piece): object;
  /** The choices of a stream for a piece. */
  deltas(piece: Piece): readonly object[];
  /** The choices a stream begins with, for each text. */
  firstDeltas(index: number): readonly object[];
}

/** What an answer says beside its texts. */
export interface AnswerFrame {
  readonly id: string;
  readonly created: number;
  readonly model: string;
  /** Texts asked for. */
  readonly texts: number;
  readonly promptTokens: number;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** The whole answer, once every text is over. */
export async function wholeAnswer(
  kind: AnswerKind,
  frame: AnswerFrame,
  events: AsyncIterable<TextEvent>,
): Promise<object> {
  const texts = Array.from({ length: frame.texts }, (_, index): Piece[] => {
    const opening = kind.opening(index);
    return opening === undefined ? [] : [opening];
  });
  let tokens = 0;
  for await (const event of events) {
    if ("token" in event) tokens++;
    const piece = kind.piece(event);
    if (piece !== undefined) texts[event.index]!.push(piece);
  }
  const choices = texts.map((pieces, index) => kind.choice(joined(index, pieces)));
  const { id, created, model } = frame;
  return { id, object: kind.object, created, model, choices, usage: usageOf(frame, tokens) };
}

/** The answer as objects of a stream. */
export async function* answerChunks(
  kind: AnswerKind,
  { includeUsage, ...frame }: AnswerFrame & { readonly includeUsage: boolean },
  events: AsyncIterable<TextEvent>,
): AsyncGenerator<object, void, undefined> {
  const { id, created, model } = frame;
  const chunk = (choices: readonly object[], usage: Usage | null = null): object => {
    return { id, object: kind.chunkObject, created, model, choices, ...(includeUsage ? { usage } : {}) };
  };
  const begun = new Set<number>();
  const open = new Set(Array.from({ length: frame.texts }, (_, index) => index));
  const first = (index: number): readonly object[] => {
    if (begun.has(index)) return [];
    begun.add(index);
    const opening = kind.opening(index);
    return [...kind.firstDeltas(index), ...(opening === undefined ? [] : kind.deltas(opening))];
  };
  let tokens = 0;
  for await (const event of events) {
    if ("token" in event) tokens++;
    const piece = kind.piece(event);
    const deltas = piece === undefined ? [] : kind.deltas(piece);
    for (const choice of [...first(event.index), ...deltas]) yield chunk([choice]);
    if (piece !== undefined && piece.finish !== null) open.delete(event.index);
  }
  // Texts of which the prompt alone was asked for.
  for (const index of open) {
    const end = kind.deltas({ index, text: "", logprobs: null, finish: "length" });
    for (const choice of [...first(index), ...end]) yield chunk([choice]);
  }
  if (includeUsage) yield chunk([], usageOf(frame, tokens));
}

function usageOf({ promptTokens }: AnswerFrame, tokens: number): Usage {
  return { prompt_tokens: promptTokens, completion_tokens: tokens, total_tokens: promptTokens + tokens };
}

// A text without a last token was asked for its prompt alone: it has the length it was given.
function joined(index: number, pieces: readonly Piece[]): Piece {
  const lists: { [list: string]: unknown[] } = {};
  for (const { logprobs } of pieces)
    for (const [name, values] of Object.entries(logprobs ?? {})) (lists[name] ??= []).push(...values);
  return {
    index,
    text: pieces.map(({ text }) => text).join(""),
    logprobs: pieces.some(({ logprobs }) => logprobs !== null) ? lists : null,
    finish: pieces.at(-1)?.finish ?? "length",
  };
}
