// trainBpe: from texts to a byte-level BPE tokenizer.
import { ArgumentError } from "../../engine/core/index.ts";
import type { AddedToken } from "./added-tokens.ts";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { trainMerges } from "./merge-trainer.ts";
import { patterns, type PatternName } from "./pretokenize.ts";
import { pieces, type TextSource } from "./text-source.ts";
import { WordCounter } from "./word-counter.ts";

/** How far a training is. */
export interface TrainProgress {
  readonly stage: "count" | "merge";
  /** Count: UTF-16 units read, different words. Merge: tokens so far, tokens wanted. */
  readonly done: number;
  readonly of: number;
}

export interface TrainBpeOptions {
  /** Tokens in all: special ones, the 256 bytes, and merges. Fewer where the texts have no more pairs. */
  readonly vocabSize: number;
  /** How text is cut into words; default `gpt2`. */
  readonly pattern?: PatternName;
  /** Special tokens; they get the first ids. Where they stand in the texts they are text. */
  readonly specialTokens?: readonly string[];
  /** Pairs seen less often are not merged; default 0, which means once. */
  readonly minFrequency?: number;
  readonly onProgress?: (progress: TrainProgress) => void;
}

/**
 * Trains a byte-level BPE tokenizer on texts or files. Only the different words are kept in memory, so that files may be
 * larger than it. The result does not depend on where files are cut into pieces, and equals that of Hugging Face's
 * `BpeTrainer` with the byte alphabet: same ids, same merges, same order among equally frequent pairs. Counts are whole
 * numbers in float64, exact to 2^53 (Hugging Face counts pairs in 32 bits).
 *
 * Errors: `ArgumentError` for options out of range; `FormatError` for files that cannot be read or are not UTF-8.
 * Source: Sennrich et al. 2016; huggingface/tokenizers `bpe/trainer.rs`.
 *
 * @example
 * const tokenizer = await trainBpe(["hug hugs hugging"], { vocabSize: 259, specialTokens: ["<|endoftext|>"] });
 * Array.from(tokenizer.encode("hug")); // [258]
 */
export async function trainBpe(source: TextSource, options: TrainBpeOptions): Promise<BpeTokenizer> {
  const { vocabSize, pattern = "gpt2", specialTokens = [], minFrequency = 0, onProgress = () => {} } = options;
  check(options);
  const words = new WordCounter(patterns[pattern].scan);
  for await (const piece of pieces(source)) {
    words.add(piece);
    onProgress({ stage: "count", done: words.units, of: words.size });
  }
  const firstId = specialTokens.length;
  const { merges, tokens } = trainMerges(words, {
    firstId,
    vocabSize,
    minFrequency,
    onMerge: (done) => onProgress({ stage: "merge", done, of: vocabSize }),
  });
  const addedTokens = specialTokens.map((content, id): AddedToken => ({ id, content, special: true }));
  const special = specialTokens.map((text) => new TextEncoder().encode(text));
  return new BpeTokenizer({ tokens: [...special, ...tokens], merges, pattern, addedTokens });
}

function check({ vocabSize, pattern = "gpt2", specialTokens = [], minFrequency = 0 }: TrainBpeOptions): void {
  const where = "trainBpe";
  if (!Object.hasOwn(patterns, pattern)) {
    throw new ArgumentError(where, `there is no pattern "${String(pattern)}"`, {
      hint: `it is one of ${Object.keys(patterns).join(", ")}`,
    });
  }
  const least = 256 + specialTokens.length;
  if (!Number.isInteger(vocabSize) || vocabSize < least || vocabSize > 2 ** 22) {
    throw new ArgumentError(where, `vocabSize is a whole number from ${least} to 2^22: received ${vocabSize}`, {
      hint: `256 bytes and ${specialTokens.length} special tokens need ${least}`,
    });
  }
  if (!Number.isSafeInteger(minFrequency) || minFrequency < 0)
    throw new ArgumentError(where, `minFrequency is a whole number from 0: received ${minFrequency}`);
  if (new Set(specialTokens).size < specialTokens.length || specialTokens.includes(""))
    throw new ArgumentError(where, `special tokens are different texts: received ${JSON.stringify(specialTokens)}`);
  for (const token of specialTokens) {
    if (/\p{Surrogate}/u.test(token) || new TextEncoder().encode(token).length < 2)
      throw new ArgumentError(where, `${JSON.stringify(token)} cannot be a special token: it is a byte or half a pair`);
  }
}
