// Tokens of many documents as one stream with borders: from a folder of shards, or from memory.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { ArgumentError, DataError, FormatError, IndexError } from "../../engine/core/index.ts";
import { sha256File } from "../formats/index.ts";
import { readManifest, type TokenManifest } from "./token-manifest.ts";
import {
  checkShardIndex,
  decodeShardHeader,
  indexOffset,
  SHARD_HEADER,
  tokenBytesOf,
  type ShardFile,
  type ShardHeader,
} from "./token-shard.ts";

/** Tokens in a row, and where each document begins. */
export interface TokenStore {
  readonly tokens: number;
  readonly documents: number;
  readonly vocabSize: number;
  /** First token of document d; the number of tokens for d = documents. */
  start(document: number): number;
  /** Copies tokens from `from` on until `target` is full. */
  read(from: number, target: Int32Array | Uint32Array): void;
  close(): void;
}

/** Shards of a folder that are open for reading. */
export interface TokenShards extends TokenStore {
  readonly manifest: TokenManifest;
  readonly split: string;
}

/** Bytes of tokens that are kept in memory unless said; more are read by position. */
export const RESIDENT_TOKENS: number = 2 ** 28;

/** How shards are opened. */
export interface OpenShardsOptions {
  /** Default `train`. */
  readonly split?: string;
  /** Tokens are kept in memory where all together take at most so many bytes, else read by position; default 2^28. */
  readonly memory?: number;
  /** Holds each file against its SHA-256 first: every byte is read; default false. */
  readonly verify?: boolean;
}

/** A part of the stream that lies in one place. */
interface Part {
  /** Number of its first token and first document in the whole. */
  readonly firstToken: number;
  readonly firstDocument: number;
  readonly tokens: number;
  readonly starts: Uint32Array;
  read(from: number, target: Int32Array | Uint32Array): void;
  close(): void;
}

/**
 * Opens the shards of one side of the split.
 *
 * Errors: FormatError of `readManifest` and of shards (`truncated`, `bad-magic`, `bad-header`, `bad-index`,
 * `size-mismatch`, `wrong-hash`, `wrong-tokenizer`, `bad-token` when a token outside the vocabulary is read), ArgumentError
 * for a split there is none of.
 *
 * @example no-run
 * const shards = await openTokenShards("data/shakespeare");
 * const windows = tokenWindows(shards, { time: 256 });
 */
export async function openTokenShards(folder: string, options: OpenShardsOptions = {}): Promise<TokenShards> {
  const { split = "train", memory = RESIDENT_TOKENS, verify = false } = options;
  const manifest = await readManifest(folder);
  const found = Object.hasOwn(manifest.splits, split) ? manifest.splits[split] : undefined;
  if (found === undefined) {
    throw new ArgumentError("openTokenShards", `there is no split \`${split}\` in ${folder}`, {
      hint: `there are: ${Object.keys(manifest.splits).join(", ")}`,
    });
  }
  const resident = found.tokens * tokenBytesOf(manifest.tokenizer.vocabSize) <= memory;
  const parts: Part[] = [];
  try {
    for (const file of found.files) {
      const path = join(folder, file.name);
      const before = parts.at(-1);
      const place = {
        firstToken: before === undefined ? 0 : before.firstToken + before.tokens,
        firstDocument: before === undefined ? 0 : before.firstDocument + before.starts.length - 1,
      };
      parts.push({ ...place, ...openShard(path, { file, manifest, resident }) });
      if (verify && (await sha256File(path)) !== file.sha256)
        throw new FormatError(path, "wrong-hash", "the content is not what the manifest states", {
          hint: "the file is damaged: prepare the corpus again",
        });
    }
  } catch (error) {
    for (const part of parts) part.close();
    throw error;
  }
  const { vocabSize } = manifest.tokenizer;
  return { ...joined(parts, vocabSize), manifest, split };
}

/**
 * Documents of tokens in memory.
 *
 * @example
 * const store = tokenStore([Uint32Array.of(1, 2, 3), Uint32Array.of(4, 5)], 10);
 * [store.tokens, store.start(1)]; // [5, 3]
 */
export function tokenStore(documents: readonly ArrayLike<number>[], vocabSize: number): TokenStore {
  const starts = new Uint32Array(documents.length + 1);
  documents.forEach(({ length }, i) => (starts[i + 1] = starts[i]! + length));
  const ids = new Uint32Array(starts.at(-1)!);
  documents.forEach((document, i) => ids.set(document, starts[i]));
  const wrong = ids.findIndex((id) => id >= vocabSize);
  if (wrong >= 0)
    throw new IndexError("tokenStore", `id ${ids[wrong]} at ${wrong} is not in a vocabulary of ${vocabSize}`);
  const read = (from: number, target: Int32Array | Uint32Array): void =>
    target.set(ids.subarray(from, from + target.length));
  const part = { firstToken: 0, firstDocument: 0, tokens: ids.length, starts, read, close: () => {} };
  return joined([part], vocabSize);
}

/** The tokens of one document. */
export function documentTokens(store: TokenStore, document: number): Uint32Array {
  const from = store.start(document);
  const ids = new Uint32Array(store.start(document + 1) - from);
  store.read(from, ids);
  return ids;
}

function joined(parts: readonly Part[], vocabSize: number): TokenStore {
  const last = parts.at(-1);
  const tokens = last === undefined ? 0 : last.firstToken + last.tokens;
  const documents = last === undefined ? 0 : last.firstDocument + last.starts.length - 1;
  return {
    tokens,
    documents,
    vocabSize,
    start(document) {
      if (!Number.isSafeInteger(document) || document < 0 || document > documents)
        throw new IndexError("tokens", `document ${document} does not exist: received ${documents} documents`);
      if (document === documents) return tokens;
      const part = lastWhere(parts, ({ firstDocument }) => firstDocument <= document);
      return part.firstToken + part.starts[document - part.firstDocument]!;
    },
    read(from, target) {
      if (!(from >= 0 && from + target.length <= tokens))
        throw new IndexError("tokens", `tokens ${from} to ${from + target.length} are not among ${tokens}`);
      let at = from;
      for (let done = 0; done < target.length;) {
        const part = lastWhere(parts, ({ firstToken }) => firstToken <= at);
        const count = Math.min(target.length - done, part.firstToken + part.tokens - at);
        part.read(at - part.firstToken, target.subarray(done, done + count));
        done += count;
        at += count;
      }
    },
    close: () => parts.forEach((part) => part.close()),
  };
}

/** The last part for which something holds that holds up to some place: a binary search. */
function lastWhere(parts: readonly Part[], holds: (part: Part) => boolean): Part {
  let [low, high] = [0, parts.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (holds(parts[middle]!)) low = middle;
    else high = middle - 1;
  }
  return parts[low]!;
}

function openShard(
  path: string,
  about: { readonly file: ShardFile; readonly manifest: TokenManifest; readonly resident: boolean },
): Omit<Part, "firstToken" | "firstDocument"> {
  const { file, manifest, resident } = about;
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(path, "unreadable", `the file cannot be read: ${reason}`, { cause });
  }
  try {
    const size = fstatSync(fd).size;
    const header = decodeShardHeader(path, readAt(path, fd, 0, Math.min(size, SHARD_HEADER)), size);
    checkAgainst(path, header, { file, manifest });
    const index = readAt(path, fd, indexOffset(header), 4 * (header.documents + 1));
    const starts = new Uint32Array(index.buffer, index.byteOffset, header.documents + 1);
    checkShardIndex(path, starts, header);
    const { tokens, vocabSize, bytesPerToken } = header;
    const asIds = (bytes: Uint8Array): Uint16Array | Uint32Array =>
      bytesPerToken === 2
        ? new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
        : new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const all = resident ? asIds(readAt(path, fd, SHARD_HEADER, tokens * bytesPerToken)) : undefined;
    const take = (from: number, count: number): Uint16Array | Uint32Array =>
      all?.subarray(from, from + count) ??
      asIds(readAt(path, fd, SHARD_HEADER + from * bytesPerToken, count * bytesPerToken));
    return {
      tokens,
      starts,
      read(from, target) {
        const ids = take(from, target.length);
        for (let i = 0; i < ids.length; i++) {
          const id = ids[i]!;
          if (id >= vocabSize)
            throw new FormatError(path, "bad-token", `token ${from + i} is ${id}: the vocabulary has ${vocabSize}`);
          target[i] = id;
        }
      },
      close: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function checkAgainst(
  path: string,
  header: ShardHeader,
  { file, manifest }: { readonly file: ShardFile; readonly manifest: TokenManifest },
): void {
  const { sha256, vocabSize } = manifest.tokenizer;
  if (header.tokenizer !== sha256 || header.vocabSize !== vocabSize)
    throw new FormatError(
      path,
      "wrong-tokenizer",
      "the shard was written with another tokenizer than its manifest says",
    );
  if (header.tokens !== file.tokens || header.documents !== file.documents)
    throw new FormatError(
      path,
      "size-mismatch",
      "the shard has other numbers of tokens or documents than its manifest",
    );
  if (header.tokens * header.bytesPerToken > 2 ** 40) throw new DataError(path, "the shard is too large");
}

function readAt(path: string, fd: number, offset: number, bytes: number): Uint8Array {
  const target = new Uint8Array(bytes);
  for (let done = 0; done < bytes;) {
    const count = readSync(fd, target, done, Math.min(bytes - done, 2 ** 30), offset + done);
    if (count === 0) throw new FormatError(path, "truncated", `the file ends at ${offset + done}`);
    done += count;
  }
  return target;
}
