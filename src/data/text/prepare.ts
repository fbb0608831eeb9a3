// prepareCorpus: documents and a tokenizer become a folder of token shards with a manifest.
import { mkdir, readdir, unlink } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ArgumentError, DataError } from "../../engine/core/index.ts";
import {
  BANDS,
  checkLimits,
  documentCounts,
  documents,
  HASHES,
  MANIFEST,
  SHINGLE,
  TokenShardWriter,
  writeManifest,
  type Document,
  type DocumentCounts,
  type DocumentOptions,
  type MarkToken,
  type QualityLimits,
  type TokenManifest,
  type TokenSplit,
} from "../datasets/index.ts";
import { readBytes, sha256, syncFolder, type JsonValue } from "../formats/index.ts";
import { Decisions, removedJson, type Decision } from "./prepare-decisions.ts";
import { openLanes, workersFor, type Lane } from "./prepare-lanes.ts";
import type { Encoded, Examined, Refused, StageOptions } from "./prepare-stage.ts";
import { saveTokenizer } from "./tokenizer-json.ts";
import { END_TOKENS, type Tokenizer } from "./tokenizer.ts";

/** How far a preparation is. */
export interface PrepareProgress {
  /** Bytes of the files that were read, and of all; 0 where documents come from a program. */
  readonly readBytes: number;
  readonly totalBytes: number;
  readonly documents: number;
  readonly kept: number;
  /** Text that was kept or removed, in UTF-8. */
  readonly textBytes: number;
  readonly tokens: number;
}

/** How a corpus is prepared. */
export interface PrepareOptions {
  /** Folder of the shards; made where it is missing. */
  readonly out: string;
  /** How files are read. */
  readonly documents?: DocumentOptions;
  /** Share of documents held out as the split `val`, each by its own hash; default 0. */
  readonly valFraction?: number;
  /** Default `exact`. `near` removes exact ones too. */
  readonly dedup?: "exact" | "near" | "none";
  /** Jaccard similarity from which a document is a near-duplicate; default 0.8. */
  readonly nearThreshold?: number;
  /** Default none: only documents of white space alone are left out. */
  readonly limits?: QualityLimits;
  /** Special token before each document; default none. */
  readonly begin?: string | null;
  /** Special token behind each document; default the first of `<|endoftext|>`, `<|end_of_text|>`, `</s>` there is. */
  readonly end?: string | null;
  /** Tokens of a shard; default 2^25. */
  readonly shardTokens?: number;
  /** Threads that examine and encode; default one for each core, 0 is this one. The files do not depend on it. */
  readonly workers?: number;
  /** Replace what an earlier preparation left; default false: it is an error. */
  readonly overwrite?: boolean;
  readonly onProgress?: (progress: PrepareProgress) => void;
  /** Ends the work with its reason; the folder has no manifest then. */
  readonly signal?: AbortSignal;
}

const SPLITS = ["train", "val"] as const;
/** A batch is sent to a thread when it has so many characters or documents. */
const BATCH_LENGTH = 2 ** 19;
const BATCH_DOCUMENTS = 2 ** 12;

/**
 * Prepares a corpus: reads documents, removes duplicates and what breaks the limits (counted, with samples), splits off a
 * held-out part, encodes in threads, and writes shards `train-00000.bin`, …, `tokenizer.json` and, last, `manifest.json`.
 *
 * Every file is written atomically and the manifest last: a folder without one is not whole, is refused by
 * `openTokenShards`, and prepared anew by the next call. The bytes are a function of documents, tokenizer and options.
 *
 * Errors: those of `documents`; ArgumentError for options; DataError where nothing is left, or where the tokenizer refuses
 * a document (`where` is its place).
 *
 * @example
 * await writeJsonl("plays.jsonl", [{ text: "To be, or not to be" }, { text: "Words, words, words" }]);
 * const tokenizer = await trainBpe(["to be or not to be"], { vocabSize: 260 });
 * const { splits } = await prepareCorpus(["plays.jsonl"], tokenizer, { out: "tokens" });
 * splits.train!.documents; // 2
 */
export async function prepareCorpus(
  sources: string | readonly string[] | AsyncIterable<Document>,
  tokenizer: Tokenizer,
  options: PrepareOptions,
): Promise<TokenManifest> {
  const settings = check(tokenizer, options);
  const { out } = options;
  await clear(out, options.overwrite ?? false);
  const file = join(out, "tokenizer.json");
  await saveTokenizer(file, tokenizer);
  const saved = await readBytes(file);
  const hash = sha256(saved);
  const stage: StageOptions = {
    limits: settings.limits,
    dedup: settings.dedup,
    begin: settings.begin?.id,
    end: settings.end?.id,
  };
  const lanes = openLanes(settings.workers, { tokenizer, text: new TextDecoder().decode(saved) }, stage);
  const work = new Preparation(lanes, tokenizer, { ...options, settings, hash });
  try {
    const counts = options.documents?.counts ?? documentCounts();
    const fromFiles = typeof sources === "string" || Array.isArray(sources);
    const stream = fromFiles
      ? documents(sources as string | readonly string[], { ...options.documents, counts })
      : (sources as AsyncIterable<Document>);
    await work.run(stream, counts);
    const splits = await work.close();
    if (work.kept === 0)
      throw new DataError("prepareCorpus", `nothing is left of ${work.documents} documents`, {
        hint: JSON.stringify(work.decisions.removed.counts),
      });
    const manifest: TokenManifest = {
      format: "chainrule-tokens",
      version: 1,
      tokenizer: { file: "tokenizer.json", sha256: hash, vocabSize: tokenizer.vocabSize },
      begin: settings.begin ?? null,
      end: settings.end ?? null,
      splits,
      about: about(sources, work, { counts, options, settings }),
    };
    await writeManifest(out, manifest);
    return manifest;
  } finally {
    await Promise.all(lanes.map((lane) => lane.end()));
  }
}

interface Settings {
  readonly valFraction: number;
  readonly dedup: "exact" | "near" | "none";
  readonly threshold: number;
  readonly limits: QualityLimits;
  readonly begin: MarkToken | undefined;
  readonly end: MarkToken | undefined;
  readonly workers: number;
}

function check(tokenizer: Tokenizer, options: PrepareOptions): Settings {
  const { valFraction = 0, dedup = "exact", nearThreshold = 0.8, limits = {}, begin, end } = options;
  if (!(valFraction >= 0 && valFraction < 1))
    throw new ArgumentError("prepareCorpus", `\`valFraction\` is at least 0 and below 1: received ${valFraction}`);
  if (!["exact", "near", "none"].includes(dedup))
    throw new ArgumentError("prepareCorpus", `\`dedup\` is exact, near or none: received ${String(dedup)}`);
  if (!(nearThreshold > 0 && nearThreshold <= 1))
    throw new ArgumentError("prepareCorpus", `\`nearThreshold\` is above 0 and at most 1: received ${nearThreshold}`);
  checkLimits("prepareCorpus", limits);
  const workers = options.workers ?? workersFor(tokenizer, availableParallelism());
  if (!Number.isSafeInteger(workers) || workers < 0 || workers > 256)
    throw new ArgumentError("prepareCorpus", `\`workers\` is a whole number from 0 to 256: received ${workers}`);
  const mark = (token: string | null | undefined): MarkToken | undefined => {
    if (token === null || token === undefined) return undefined;
    const id = tokenizer.specialTokens.get(token);
    if (id !== undefined) return { token, id };
    throw new ArgumentError("prepareCorpus", `\`${token}\` is no special token of this tokenizer`, {
      hint: `there are: ${[...tokenizer.specialTokens.keys()].join(" ") || "none"}`,
    });
  };
  const known = END_TOKENS.find((token) => tokenizer.specialTokens.has(token));
  return {
    valFraction,
    dedup,
    threshold: nearThreshold,
    limits,
    begin: mark(begin),
    end: mark(end === undefined ? known : end),
    workers,
  };
}

/** Makes the folder, and takes away what an earlier preparation left. Files that are not ours stay. */
async function clear(out: string, overwrite: boolean): Promise<void> {
  await mkdir(out, { recursive: true });
  const names = await readdir(out);
  if (names.includes(MANIFEST)) {
    if (!overwrite)
      throw new ArgumentError("prepareCorpus", `${out} holds a prepared corpus`, {
        hint: "choose another folder, or ask for it to be overwritten",
      });
    // First of all: from here on the folder is not whole.
    await unlink(join(out, MANIFEST));
    await syncFolder(out);
  }
  const ours =
    /^(?:train|val)-\d{5,}\.bin$|^\.(?:(?:train|val)-\d{5,}\.bin|manifest\.json|tokenizer\.json)\.[0-9a-f]{12}\.tmp$/;
  for (const name of names) if (ours.test(name)) await unlink(join(out, name));
}

interface Batch {
  readonly id: number;
  readonly lane: Lane;
  /** The beginnings of texts are enough once a thread has them. */
  readonly documents: readonly Document[];
}

/** Batches on their way: read, examined, decided in order, encoded, written in order. */
class Preparation {
  documents = 0;
  kept = 0;
  tokens = 0;
  textBytes = 0;
  keptBytes = 0;
  readonly decisions: Decisions;
  readonly #lanes: readonly Lane[];
  readonly #options: PrepareOptions;
  readonly #writers: readonly TokenShardWriter[];
  readonly #splits: readonly string[];
  readonly #examining: { batch: Batch; examined: Promise<Examined> }[] = [];
  readonly #encoding: { batch: Batch; decision: Decision; encoded: Promise<Encoded | Refused> }[] = [];
  #counts: DocumentCounts = documentCounts();

  constructor(
    lanes: readonly Lane[],
    tokenizer: Tokenizer,
    options: PrepareOptions & { readonly settings: Settings; readonly hash: string },
  ) {
    const { settings, hash, out, shardTokens } = options;
    this.#lanes = lanes;
    this.#options = options;
    this.decisions = new Decisions(settings);
    this.#splits = settings.valFraction > 0 ? SPLITS : SPLITS.slice(0, 1);
    this.#writers = this.#splits.map(
      (split) =>
        new TokenShardWriter(out, {
          split,
          vocabSize: tokenizer.vocabSize,
          tokenizer: hash,
          ...(shardTokens === undefined ? {} : { shardTokens }),
        }),
    );
  }

  async run(stream: AsyncIterable<Document>, counts: DocumentCounts): Promise<void> {
    this.#counts = counts;
    let id = 0;
    let batch: Document[] = [];
    let length = 0;
    const send = async (): Promise<void> => {
      if (batch.length === 0) return;
      await this.#send(id++, batch);
      batch = [];
      length = 0;
    };
    for await (const document of stream) {
      batch.push(document);
      length += document.text.length;
      if (length >= BATCH_LENGTH || batch.length >= BATCH_DOCUMENTS) await send();
    }
    await send();
    while (this.#examining.length > 0) await this.#decide();
    while (this.#encoding.length > 0) await this.#write();
  }

  async close(): Promise<{ [name: string]: TokenSplit }> {
    const splits: { [name: string]: TokenSplit } = {};
    for (const [i, split] of this.#splits.entries()) {
      const files = await this.#writers[i]!.close();
      const sum = (which: "tokens" | "documents"): number => files.reduce((n, file) => n + file[which], 0);
      splits[split] = { tokens: sum("tokens"), documents: sum("documents"), files };
    }
    return splits;
  }

  // Each thread has a batch to work on and another one waiting; more would only take memory.
  async #send(id: number, documents: readonly Document[]): Promise<void> {
    this.#options.signal?.throwIfAborted();
    const lane = this.#lanes[id % this.#lanes.length]!;
    const examined = lane.examine(
      id,
      documents.map(({ text }) => text),
    );
    examined.catch(() => {}); // thrown when it is its turn
    this.#examining.push({ batch: { id, lane, documents }, examined });
    if (this.#examining.length > this.#lanes.length) await this.#decide();
    if (this.#encoding.length > this.#lanes.length) await this.#write();
  }

  async #decide(): Promise<void> {
    const { batch, examined } = this.#examining.shift()!;
    const found = await examined;
    const decision = this.decisions.decide(batch.documents, found);
    this.documents += batch.documents.length;
    for (const bytes of found.bytes) this.textBytes += bytes;
    for (const index of decision.keep) this.keptBytes += found.bytes[index]!;
    const encoded = batch.lane.encode(batch.id, decision.keep);
    encoded.catch(() => {});
    this.#encoding.push({ batch, decision, encoded });
  }

  async #write(): Promise<void> {
    const { batch, decision, encoded } = this.#encoding.shift()!;
    const result = await encoded;
    if ("problem" in result) {
      const { source, line } = batch.documents[result.index]!;
      throw new DataError(
        line === undefined ? source : `${source}:${line}`,
        result.problem,
        result.hint === undefined ? {} : { hint: result.hint },
      );
    }
    let at = 0;
    for (const [i, length] of result.lengths.entries()) {
      await this.#writers[decision.heldOut[i] ? 1 : 0]!.add(result.ids.subarray(at, at + length));
      at += length;
    }
    this.kept += result.lengths.length;
    this.tokens += at;
    const { readBytes, totalBytes } = this.#counts;
    const { documents, kept, textBytes, tokens } = this;
    this.#options.onProgress?.({ readBytes, totalBytes, documents, kept, textBytes, tokens });
  }
}

/** What the manifest says of how it came about: nothing of time or machine, so that equal work gives equal bytes. */
function about(
  sources: string | readonly string[] | AsyncIterable<Document>,
  work: Preparation,
  from: { readonly counts: DocumentCounts; readonly options: PrepareOptions; readonly settings: Settings },
): { [key: string]: JsonValue } {
  const { counts, options, settings } = from;
  const { valFraction, dedup, threshold, limits } = settings;
  const { separator, field, format, skipBad, invalidUtf8 } = options.documents ?? {};
  const given = { separator, field, format, skipBad, invalidUtf8, shardTokens: options.shardTokens };
  return {
    sources: typeof sources === "string" ? [sources] : Array.isArray(sources) ? [...(sources as string[])] : null,
    options: {
      valFraction,
      dedup,
      ...(dedup === "near"
        ? { nearThreshold: threshold, hashes: HASHES, bands: BANDS, shingle: `${SHINGLE} words` }
        : {}),
      limits: { ...limits } as { [key: string]: JsonValue },
      ...(JSON.parse(JSON.stringify(given)) as { [key: string]: JsonValue }),
    },
    read: {
      files: counts.files,
      documents: work.documents,
      textBytes: work.textBytes,
      emptyPieces: counts.empty,
      badRows: counts.badRows,
      badSamples: [...counts.badSamples],
      replacedUtf8: counts.replaced,
      ignored: counts.ignored.length,
      ignoredSamples: counts.ignored.slice(0, 10),
    },
    kept: { documents: work.kept, textBytes: work.keptBytes },
    removed: removedJson(work.decisions.removed),
  };
}
