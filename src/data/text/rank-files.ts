// Other files of byte-level BPE: tiktoken's ranks (base64 token, blank, rank, a line each) and GPT-2's vocab.json + merges.txt.
import { ArgumentError, FormatError } from "../../engine/core/index.ts";
import { decodeUtf8, readBytes, scanJson } from "../formats/index.ts";
import type { AddedToken } from "./added-tokens.ts";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { byteKey } from "./byte-alphabet.ts";
import { NodeReader } from "./node-reader.ts";
import type { PatternName } from "./pretokenize.ts";
import { readVocab } from "./tokenizer-json.ts";

export interface TiktokenOptions {
  /** How text is cut into words: the ranks do not say it. */
  readonly pattern: PatternName;
  /** Special tokens and their ids. */
  readonly specialTokens?: Readonly<Record<string, number>>;
  /** What errors call the ranks. */
  readonly where?: string;
}

/**
 * A tokenizer from tiktoken's ranks: the text of a `.tiktoken` file, or pairs of bytes and rank. Any two neighbours whose
 * bytes together are a token merge, the lowest rank first, the leftmost of equals; a word that is a token is that token.
 *
 * Errors: `FormatError` with `syntax`, `duplicate-token`, `duplicate-id` or `missing-bytes`. Source: openai/tiktoken.
 *
 * @example
 * const bytes = Array.from({ length: 256 }, (_, i) => [Uint8Array.of(i), i] as const);
 * const tokenizer = tiktoken([...bytes, [new TextEncoder().encode("ab"), 256]], { pattern: "gpt2" });
 * Array.from(tokenizer.encode("abc")); // [256, 99]
 */
export function tiktoken(
  ranks: string | Iterable<readonly [Uint8Array, number]>,
  { pattern, specialTokens = {}, where = "tiktoken" }: TiktokenOptions,
): BpeTokenizer {
  const tokens: (Uint8Array | undefined)[] = [];
  for (const [bytes, rank] of typeof ranks === "string" ? rankLines(ranks, where) : ranks) {
    if (!Number.isInteger(rank) || rank < 0 || rank >= 2 ** 22)
      throw new FormatError(where, "syntax", `a rank is a whole number from 0 to 2^22: received ${rank}`);
    while (tokens.length < rank) tokens.push(undefined);
    if (tokens[rank] !== undefined) throw new FormatError(where, "duplicate-id", `two tokens have the rank ${rank}`);
    tokens[rank] = bytes;
  }
  const addedTokens = Object.entries(specialTokens).map(([content, id]): AddedToken => {
    if (tokens[id] !== undefined)
      throw new FormatError(where, "duplicate-id", `${content} has the id ${id} of a token`);
    return { id, content, special: true };
  });
  return new BpeTokenizer({ tokens, ...allMerges(tokens), pattern, addedTokens, wholeWords: true, where });
}

/** Reads a `.tiktoken` file; see `tiktoken`. */
export async function loadTiktoken(path: string, options: TiktokenOptions): Promise<BpeTokenizer> {
  return tiktoken(decodeUtf8(path, await readBytes(path)), { where: path, ...options });
}

function* rankLines(text: string, where: string): Generator<[Uint8Array, number]> {
  let number = 0;
  for (const line of text.split(/\r?\n/)) {
    number++;
    if (line === "") continue;
    const [, token, rank] = /^([A-Za-z0-9+/]+={0,2}) (\d{1,7})$/.exec(line) ?? [];
    if (token === undefined || token.length % 4 !== 0)
      throw new FormatError(`${where}:${number}`, "syntax", "expected a token in base64, a blank and its rank");
    yield [new Uint8Array(Buffer.from(token, "base64")), Number(rank)];
  }
}

// Each way to cut a token into two tokens is a merge, in the order Hugging Face's converter writes them.
function allMerges(tokens: readonly (Uint8Array | undefined)[]): { merges: Uint32Array; ranks: Uint32Array } {
  const keys = tokens.map((bytes) => (bytes === undefined ? "" : byteKey(bytes)));
  const ids = new Map(keys.map((key, id) => [key, id]));
  const merges: number[] = [];
  const ranks: number[] = [];
  keys.forEach((key, id) => {
    const cuts: [number, number][] = [];
    for (let cut = 1; cut < key.length; cut++) {
      const left = ids.get(key.slice(0, cut));
      const right = ids.get(key.slice(cut));
      if (left !== undefined && right !== undefined) cuts.push([left, right]);
    }
    for (const pair of cuts.toSorted((a, b) => a[0] - b[0] || a[1] - b[1])) {
      merges.push(...pair);
      ranks.push(id);
    }
  });
  return { merges: Uint32Array.from(merges), ranks: Uint32Array.from(ranks) };
}

export interface MergesOptions {
  /** How text is cut into words; default `gpt2`. */
  readonly pattern?: PatternName;
  /** Which tokens of the vocabulary are special, `["<|endoftext|>"]` for GPT-2's. */
  readonly specialTokens?: readonly string[];
}

/**
 * Reads GPT-2's pair of files: `vocab.json` (token in the byte alphabet → id) and `merges.txt` (two tokens a line, by rank;
 * lines that begin with `#version` are no merges).
 *
 * Errors: `FormatError` with the codes of `loadTokenizer`, or `syntax` with the line.
 *
 * @example no-run
 * const gpt2 = await loadMerges("vocab.json", "merges.txt", { specialTokens: ["<|endoftext|>"] });
 */
export async function loadMerges(
  vocabPath: string,
  mergesPath: string,
  { pattern = "gpt2", specialTokens = [] }: MergesOptions = {},
): Promise<BpeTokenizer> {
  const vocab = new NodeReader(
    scanJson(decodeUtf8(vocabPath, await readBytes(vocabPath)), { where: vocabPath }),
    vocabPath,
  );
  const addedTokens = specialTokens.map((content): AddedToken => {
    const id = vocab.get(content);
    if (id.isNull) throw new ArgumentError("loadMerges", `the vocabulary has no token ${JSON.stringify(content)}`);
    return { id: id.id(), content, special: true };
  });
  const { ids, tokens } = readVocab(vocab, addedTokens);
  const merges: number[] = [];
  const lines = decodeUtf8(mergesPath, await readBytes(mergesPath)).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  lines.forEach((line, i) => {
    if (line.startsWith("#version")) return;
    const parts = line.split(" ");
    const where = `${mergesPath}:${i + 1}`;
    if (parts.length !== 2) throw new FormatError(where, "syntax", "expected two tokens with a blank between them");
    for (const part of parts) {
      const id = ids.get(part);
      if (id === undefined) throw new FormatError(where, "unknown-token", `${JSON.stringify(part)} is no token`);
      merges.push(id);
    }
  });
  return new BpeTokenizer({ tokens, merges: Uint32Array.from(merges), pattern, addedTokens, where: mergesPath });
}
