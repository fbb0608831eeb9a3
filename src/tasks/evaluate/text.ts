// Running text: perplexity and bits per byte over strided windows; every token is counted once.
import { readFile } from "node:fs/promises";
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import { decodeUtf8 } from "../../data/formats/index.ts";
import { leadingToken, type TextModel } from "./pair.ts";
import type { ScoredRow, Scorer } from "./scorer.ts";

export interface TextOptions {
  /** Tokens the model sees at most; its context unless said. */
  readonly context?: number;
  /**
   * Tokens each window adds; half the context unless said. Every token but those of the first window has at least
   * `context − stride` tokens before it. Smaller is closer to the model's real perplexity, and takes longer.
   */
  readonly stride?: number;
  /** Is told how many tokens are done, of all. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** What a model is worth on a text. */
export interface TextScore {
  /** Tokens that were scored. */
  readonly tokens: number;
  /** Bytes of text they stand for. */
  readonly bytes: number;
  /** Tokens that could not be: the first one, where the model has no token that begins texts. */
  readonly unscored: number;
  /** Mean of `−ln p` over the tokens, in nats. */
  readonly loss: number;
  /** `e^loss`. */
  readonly perplexity: number;
  /** `Σ −ln p / (ln 2 · bytes)`: comparable between tokenizers. */
  readonly bitsPerByte: number;
}

/**
 * Scores a text. Errors: DataError for a text without a token to score, or with characters the tokenizer lacks.
 *
 * @example no-run
 * const opened = await openModel("runs/shakespeare");
 * const { bitsPerByte } = await scoreText(new Scorer(opened.model), opened, "To be, or not to be");
 */
export async function scoreText(
  scorer: Scorer,
  { tokenizer, beginToken }: TextModel,
  text: string,
  options: TextOptions & { readonly where?: string } = {},
): Promise<TextScore> {
  const { where = "text" } = options;
  const ids = tokenizer.encode(text);
  const begin = leadingToken(tokenizer) ?? beginToken;
  const all = begin === undefined ? ids : Uint32Array.from([begin, ...ids]);
  const tokens = all.length - 1;
  if (tokens < 1) throw new DataError(where, `has no token to score: received ${Buffer.byteLength(text)} bytes`);
  let [sum, done] = [0, 0];
  const add = async (rows: readonly ScoredRow[]): Promise<void> => {
    for (const row of await scorer.score(rows)) {
      sum -= row.logLikelihood;
      done += row.tokens;
    }
    options.onProgress?.(done, tokens);
  };
  let rows: ScoredRow[] = [];
  for (const row of textWindows(all, { ...options, most: scorer.model.contextLength })) {
    rows.push(row);
    if (rows.length < scorer.rowsAt(row.ids.length)) continue;
    await add(rows);
    rows = [];
  }
  if (rows.length > 0) await add(rows);
  const lost = begin === undefined ? tokenizer.tokenBytes(ids[0]!).length : 0;
  const unscored = begin === undefined ? 1 : 0;
  return scoreOf({ tokens: done, bytes: Buffer.byteLength(text) - lost, unscored, sum });
}

/** Scores a file in UTF-8; errors name it. It is held in memory, its logits are not. */
export async function scoreTextFile(
  scorer: Scorer,
  model: TextModel,
  { path, ...options }: TextOptions & { readonly path: string },
): Promise<TextScore> {
  const text = decodeUtf8(path, await readFile(path));
  try {
    return await scoreText(scorer, model, text, { ...options, where: path });
  } catch (error) {
    // What the tokenizer says names no file.
    if (!(error instanceof DataError) || error.where === path) throw error;
    throw new DataError(path, error.problem, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

/** Several texts as one: every token counts the same. */
export function joinScores(scores: readonly TextScore[]): TextScore {
  const total = (value: (score: TextScore) => number): number => scores.reduce((all, score) => all + value(score), 0);
  return scoreOf({
    tokens: total(({ tokens }) => tokens),
    bytes: total(({ bytes }) => bytes),
    unscored: total(({ unscored }) => unscored),
    sum: total(({ loss, tokens }) => loss * tokens),
  });
}

function scoreOf({
  sum,
  ...counts
}: Pick<TextScore, "tokens" | "bytes" | "unscored"> & { readonly sum: number }): TextScore {
  const loss = sum / counts.tokens;
  return { ...counts, loss, perplexity: Math.exp(loss), bitsPerByte: sum / (Math.LN2 * counts.bytes) };
}

/** Windows over tokens: each ends a stride after the one before and scores what that one did not. */
export function* textWindows(
  ids: Uint32Array,
  { most, context = most, stride = Math.max(1, context >> 1) }: TextOptions & { readonly most: number },
): Generator<ScoredRow> {
  if (!Number.isInteger(context) || context < 1 || context > most)
    throw new ArgumentError("context", `must be a whole number from 1 to ${most}: received ${context}`);
  if (!Number.isInteger(stride) || stride < 1 || stride > context)
    throw new ArgumentError("stride", `must be a whole number from 1 to ${context}: received ${stride}`);
  let from = 1;
  for (let end = Math.min(ids.length, context + 1); from < ids.length; end = Math.min(ids.length, end + stride)) {
    // The last token of a window is scored and not seen.
    const start = Math.max(0, end - 1 - context);
    yield { ids: ids.subarray(start, end), from: from - start };
    from = end;
  }
}
