// The tokens of a run: from a prepared folder, from files that are prepared first, or from the text that ships with the package.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST, openTokenShards, shakespeare, tokenStore, type TokenStore } from "../../data/datasets/index.ts";
import {
  loadTokenizer,
  prepareCorpus,
  textsOf,
  trainChar,
  type PrepareProgress,
  type Tokenizer,
} from "../../data/text/index.ts";
import { sha256 } from "../../data/formats/index.ts";
import type { DataRecipe, Recipe } from "./recipe-types.ts";

/** How files are prepared where a recipe does not say. */
export const FILE_DEFAULTS: { readonly valFraction: number; readonly dedup: "exact" } = {
  valFraction: 0.05,
  dedup: "exact",
};

/** Tokens to train on and held-out ones. */
export interface Corpus {
  readonly tokenizer: Tokenizer;
  readonly train: TokenStore;
  /** Undefined where nothing was held out. */
  readonly validation: TokenStore | undefined;
  /** What it is, for people. */
  readonly source: string;
  /** Says which tokens these are: a run that goes on must find the same. */
  readonly identity: string;
  close(): void;
}

export interface CorpusOptions {
  /** The tokens a run began with, where it goes on; else files are prepared anew. */
  readonly resume?: boolean;
  readonly onProgress?: (progress: PrepareProgress) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the tokens of a recipe. Files are prepared into `<out>/data` when a run begins: one that goes on reads what it began
 * with, even where the files have changed since.
 */
export async function openCorpus({ data, out }: Recipe, options: CorpusOptions = {}): Promise<Corpus> {
  if (data.text === "shakespeare") return ofShakespeare(data);
  if (data.tokens !== undefined) return ofFolder(data.tokens);
  const folder = join(out, "data");
  if (options.resume !== true || !existsSync(join(folder, MANIFEST))) {
    const files = data.text!;
    const tokenizer = await tokenizerOf(data.tokenizer!, files);
    await prepareCorpus(files, tokenizer, {
      out: folder,
      valFraction: data.valFraction ?? FILE_DEFAULTS.valFraction,
      dedup: data.dedup ?? FILE_DEFAULTS.dedup,
      overwrite: true, // what is there was left by a run that never began, or a killed preparation
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
  }
  return ofFolder(folder);
}

async function tokenizerOf(name: string, files: readonly string[]): Promise<Tokenizer> {
  if (name !== "characters") return loadTokenizer(name);
  return trainChar(await textsOf(files), { specialTokens: ["<|endoftext|>"] });
}

async function ofShakespeare({ tokenizer: name = "characters" }: DataRecipe): Promise<Corpus> {
  const { train, validation, source } = await shakespeare();
  const tokenizer = name === "characters" ? await trainChar([train, validation]) : await loadTokenizer(name);
  const store = (text: string): TokenStore => tokenStore([tokenizer.encode(text)], tokenizer.vocabSize);
  const identity = `shakespeare ${sha256(new TextEncoder().encode(JSON.stringify(tokenizer)))}`;
  return { tokenizer, train: store(train), validation: store(validation), source, identity, close: () => {} };
}

async function ofFolder(folder: string): Promise<Corpus> {
  const train = await openTokenShards(folder);
  const { tokenizer, splits } = train.manifest;
  const files = Object.values(splits).flatMap((split) => split.files.map(({ sha256: hash }) => hash));
  const validation = (splits["val"]?.tokens ?? 0) > 0 ? await openTokenShards(folder, { split: "val" }) : undefined;
  return {
    tokenizer: await loadTokenizer(join(folder, tokenizer.file)),
    train,
    validation,
    identity: sha256(new TextEncoder().encode([tokenizer.sha256, ...files].join())),
    source: `${folder}: ${train.tokens.toLocaleString("en")} tokens of ${train.documents.toLocaleString("en")} documents`,
    close: () => {
      train.close();
      validation?.close();
    },
  };
}

/** Bytes of text a token stands for, on average over a store; special tokens are no text. */
export function bytesPerToken(store: TokenStore, tokenizer: Tokenizer): number {
  const special = new Set(tokenizer.specialTokens.values());
  const lengths = new Float64Array(tokenizer.vocabSize).fill(-1);
  const lengthOf = (id: number): number => {
    if (lengths[id] === -1) lengths[id] = special.has(id) ? 0 : tokenizer.tokenBytes(id).length;
    return lengths[id]!;
  };
  const piece = new Uint32Array(Math.min(store.tokens, 1 << 16));
  let bytes = 0;
  for (let from = 0; from < store.tokens; from += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, store.tokens - from));
    store.read(from, part);
    for (const id of part) bytes += lengthOf(id);
  }
  return bytes / store.tokens;
}
