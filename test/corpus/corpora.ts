// What the suites of this folder share: a tokenizer of bytes, temporary folders, small corpora.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { documentTokens, type Document, type TokenStore } from "../../src/data/datasets/index.ts";
import { sha256 } from "../../src/data/formats/index.ts";
import { BpeTokenizer, type Tokenizer } from "../../src/data/text/index.ts";

/** Each byte is a token; 256 is `<|endoftext|>`. */
export function byteTokenizer(): BpeTokenizer {
  const end = { id: 256, content: "<|endoftext|>", special: true };
  return new BpeTokenizer({
    tokens: Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    merges: new Uint32Array(),
    pattern: "gpt2",
    addedTokens: [{ ...end, singleWord: false, lstrip: false, rstrip: false, normalized: false }],
  });
}

/** Runs with a new folder, and removes it. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "chainrule-corpus-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function* stream(texts: readonly string[], source: string = "memory"): AsyncGenerator<Document> {
  for (const [i, text] of texts.entries()) yield { text, source, line: i + 1 };
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

/** The texts of a store whose documents end with a mark. */
export function textsOf(store: TokenStore, tokenizer: Tokenizer): string[] {
  return Array.from({ length: store.documents }, (_, d) =>
    tokenizer.decode(documentTokens(store, d), { skipSpecial: true }),
  );
}

/** SHA-256 of all files of a folder by name. */
export function contentOf(folder: string): { [name: string]: string } {
  return Object.fromEntries(
    readdirSync(folder)
      .sort()
      .map((name) => [name, sha256(readFileSync(join(folder, name)))]),
  );
}
