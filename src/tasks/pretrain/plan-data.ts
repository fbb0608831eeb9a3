// How many tokens a run has, without preparing them: from a manifest, from the text that ships, or estimated from a sample.
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  documents,
  expandPaths,
  MANIFEST,
  readManifest,
  RESIDENT_TOKENS,
  tokenBytesOf,
} from "../../data/datasets/index.ts";
import { loadTokenizer, type Tokenizer } from "../../data/text/index.ts";
import { FILE_DEFAULTS, openCorpus } from "./corpus.ts";
import type { DataRecipe, Recipe } from "./recipe-types.ts";

/** The tokens of a run, as far as they are known before it. */
export interface PlannedData {
  readonly vocabSize: number;
  readonly trainTokens: number;
  readonly validationTokens: number;
  /** Whether the numbers are estimated from a sample of files that are not prepared yet. */
  readonly estimated: boolean;
  readonly source: string;
  /** Bytes of tokens the run keeps in memory. */
  readonly bytes: number;
}

/** Characters of text that an estimate is made from. */
const SAMPLE = 2 ** 20;
/** Text is about so many times as long as its packed form. */
const PACKED = 3;

/** The tokens of a recipe. Files that are not prepared are only looked into. */
export async function planData(recipe: Recipe): Promise<PlannedData> {
  const { data, out } = recipe;
  if (data.text === "shakespeare") {
    const { tokenizer, train, validation, source, close } = await openCorpus(recipe);
    const [trainTokens, validationTokens] = [train.tokens, validation?.tokens ?? 0];
    close();
    const bytes = 4 * (trainTokens + validationTokens);
    return { vocabSize: tokenizer.vocabSize, trainTokens, validationTokens, estimated: false, source, bytes };
  }
  const folder = data.tokens ?? join(out, "data");
  if (data.tokens === undefined && !existsSync(join(folder, MANIFEST))) return estimate(data);
  const { splits, tokenizer } = await readManifest(folder);
  const [trainTokens, validationTokens] = ["train", "val"].map((name) => splits[name]?.tokens ?? 0) as [number, number];
  return { ...sized(tokenizer.vocabSize, trainTokens, validationTokens), estimated: false, source: folder };
}

function sized(
  vocabSize: number,
  trainTokens: number,
  validationTokens: number,
): Pick<PlannedData, "vocabSize" | "trainTokens" | "validationTokens" | "bytes"> {
  const each = tokenBytesOf(vocabSize);
  const held = [trainTokens, validationTokens].map((tokens) => (tokens * each <= RESIDENT_TOKENS ? tokens * each : 0));
  return { vocabSize, trainTokens, validationTokens, bytes: held[0]! + held[1]! };
}

async function estimate({
  text,
  tokenizer: name,
  valFraction = FILE_DEFAULTS.valFraction,
}: DataRecipe): Promise<PlannedData> {
  const { files } = await expandPaths(text as readonly string[]);
  const tokenizer = name === "characters" ? undefined : await loadTokenizer(name!);
  const sample = await sampled(files, tokenizer);
  const bytes = files.reduce(
    (sum, file) => sum + statSync(file).size * (/\.(gz|parquet)$/i.test(file) ? PACKED : 1),
    0,
  );
  const tokens = Math.round(bytes * sample.tokensPerByte);
  const validation = Math.round(tokens * valFraction);
  return {
    ...sized(tokenizer?.vocabSize ?? sample.characters + 1, tokens - validation, validation), // and `<|endoftext|>`
    estimated: true,
    source: `${files.length} file${files.length === 1 ? "" : "s"} of ${(bytes / 1e6).toPrecision(3)} MB, not yet prepared`,
  };
}

// Tokens a byte of text, and different characters, of the first documents.
async function sampled(
  files: readonly string[],
  tokenizer: Tokenizer | undefined,
): Promise<{ tokensPerByte: number; characters: number }> {
  const known = new Set<string>();
  let [bytes, tokens, length] = [0, 0, 0];
  for await (const document of documents(files)) {
    const text = document.text.slice(0, SAMPLE - length);
    length += text.length;
    bytes += Buffer.byteLength(text);
    if (tokenizer === undefined) {
      for (const character of text) {
        known.add(character);
        tokens++;
      }
    } else tokens += tokenizer.encode(text).length;
    tokens++; // the mark behind a document
    if (length >= SAMPLE) break;
  }
  return { tokensPerByte: bytes === 0 ? 0 : tokens / bytes, characters: known.size };
}
