// Token shards: `.bin` files of tokens with the borders of their documents. Layout, writer and reader.
//
//   0  "CHAINTOK"          8  version, 1          12  bytes of a token, 2 or 4
//  16  tokens (u64)       24  documents (u64)     32  offset of the index (u64)
//  40  vocabulary (u32)   44  0                   48  SHA-256 of the tokenizer, 32 bytes     80  zeros
// 128  tokens, zeros up to a multiple of 8, then u32[documents + 1]: where each document begins, and the number of tokens.
//
// All numbers are little-endian. A file has exactly the size its header says: one that is cut short is never whole.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ArgumentError, DataError, FormatError, IndexError } from "../../engine/core/index.ts";
import { writeFileAtomic } from "../formats/index.ts";

/** Bytes before the first token. */
export const SHARD_HEADER = 128;
const MAGIC = "CHAINTOK";
const VERSION = 1;
/** The index counts in 32 bits. */
export const MAX_SHARD_TOKENS: number = 2 ** 32 - 1;

/** What the header of a shard says. */
export interface ShardHeader {
  readonly bytesPerToken: 2 | 4;
  readonly tokens: number;
  readonly documents: number;
  readonly vocabSize: number;
  /** SHA-256 of the tokenizer's `tokenizer.json`, in hexadecimal. */
  readonly tokenizer: string;
}

/** A shard that was written. */
export interface ShardFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly tokens: number;
  readonly documents: number;
}

/** Two bytes are enough for so many ids. */
export function tokenBytesOf(vocabSize: number): 2 | 4 {
  if (!Number.isSafeInteger(vocabSize) || vocabSize < 1 || vocabSize > 2 ** 31)
    throw new ArgumentError("token shards", `a vocabulary has 1 to 2^31 tokens: received ${vocabSize}`);
  return vocabSize <= 2 ** 16 ? 2 : 4;
}

/** Where the index begins. */
export function indexOffset({ tokens, bytesPerToken }: Pick<ShardHeader, "tokens" | "bytesPerToken">): number {
  return Math.ceil((SHARD_HEADER + tokens * bytesPerToken) / 8) * 8;
}

/** The exact size of a shard. */
export function shardBytes(header: ShardHeader): number {
  return indexOffset(header) + 4 * (header.documents + 1);
}

export function encodeShardHeader(header: ShardHeader): Uint8Array {
  const bytes = Buffer.alloc(SHARD_HEADER);
  bytes.write(MAGIC, 0, "latin1");
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(header.bytesPerToken, 12);
  bytes.writeBigUInt64LE(BigInt(header.tokens), 16);
  bytes.writeBigUInt64LE(BigInt(header.documents), 24);
  bytes.writeBigUInt64LE(BigInt(indexOffset(header)), 32);
  bytes.writeUInt32LE(header.vocabSize, 40);
  bytes.write(header.tokenizer, 48, "hex");
  return bytes;
}

/**
 * Reads a header and holds it against the size of the file.
 *
 * Errors: `FormatError` with code `truncated`, `bad-magic`, `unknown-version`, `bad-header` or `size-mismatch`.
 */
export function decodeShardHeader(where: string, bytes: Uint8Array, fileBytes: number): ShardHeader {
  const broken = (code: string, problem: string): FormatError =>
    new FormatError(where, code, problem, { hint: "prepare the corpus again, or copy the file again" });
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (head.length < 8 || head.toString("latin1", 0, 8) !== MAGIC) {
    if (head.length >= 8 || !MAGIC.startsWith(head.toString("latin1")))
      throw broken("bad-magic", "this is no token shard");
  }
  if (head.length < SHARD_HEADER)
    throw broken("truncated", `a shard has ${SHARD_HEADER} bytes at least: received ${fileBytes}`);
  const version = head.readUInt32LE(8);
  if (version !== VERSION) throw broken("unknown-version", `version 1 is known: received ${version}`);
  const bytesPerToken = head.readUInt32LE(12);
  if (bytesPerToken !== 2 && bytesPerToken !== 4)
    throw broken("bad-header", `a token has 2 or 4 bytes: received ${bytesPerToken}`);
  const [tokens, documents, index] = [16, 24, 32].map((at) => Number(head.readBigUInt64LE(at))) as [
    number,
    number,
    number,
  ];
  if (tokens > MAX_SHARD_TOKENS || documents >= MAX_SHARD_TOKENS)
    throw broken("bad-header", `the header states ${tokens} tokens in ${documents} documents`);
  const vocabSize = head.readUInt32LE(40);
  if (vocabSize < 1 || vocabSize > (bytesPerToken === 2 ? 2 ** 16 : 2 ** 31))
    throw broken("bad-header", `a vocabulary of ${vocabSize} does not fit tokens of ${bytesPerToken} bytes`);
  if (head.subarray(44, 48).some((byte) => byte !== 0) || head.subarray(80, SHARD_HEADER).some((byte) => byte !== 0))
    throw broken("bad-header", "bytes that must be zero are not");
  const header: ShardHeader = {
    bytesPerToken,
    tokens,
    documents,
    vocabSize,
    tokenizer: head.toString("hex", 48, 80),
  };
  if (index !== indexOffset(header))
    throw broken("bad-header", `the index is at ${indexOffset(header)}: the header states ${index}`);
  if (fileBytes !== shardBytes(header)) {
    const code = fileBytes < shardBytes(header) ? "truncated" : "size-mismatch";
    throw broken(code, `the header asks for ${shardBytes(header)} bytes: the file has ${fileBytes}`);
  }
  return header;
}

/** Refuses borders that go back or do not end with the tokens; code `bad-index`. */
export function checkShardIndex(where: string, index: Uint32Array, { tokens }: ShardHeader): void {
  let before = 0;
  if (index[0] !== 0) throw new FormatError(where, "bad-index", `the first document begins at ${index[0]}`);
  for (const [i, start] of index.entries()) {
    if (start < before) throw new FormatError(where, "bad-index", `document ${i} begins before the one before it`);
    before = start;
  }
  if (before !== tokens)
    throw new FormatError(where, "bad-index", `the last document ends at ${before} of ${tokens} tokens`);
}

/** How shards are written. */
export interface ShardWriterOptions {
  /** Names are `<split>-00000.bin`, `<split>-00001.bin`, … */
  readonly split: string;
  readonly vocabSize: number;
  /** SHA-256 of the tokenizer, in hexadecimal. */
  readonly tokenizer: string;
  /** A shard is closed before a document that would take it beyond so many tokens; default 2^25. */
  readonly shardTokens?: number;
}

/**
 * Writes documents of tokens into shards, each atomically: a file with a shard's name is a whole shard. A shard is made in
 * memory (`shardTokens` × 2 or 4 bytes); a document is never cut, a longer one has a shard of its own.
 *
 * @example
 * const writer = new TokenShardWriter(".", { split: "train", vocabSize: 256, tokenizer: "00".repeat(32) });
 * await writer.add(Uint32Array.of(72, 105));
 * (await writer.close())[0]!.tokens; // 2
 */
export class TokenShardWriter {
  readonly #folder: string;
  readonly #options: Required<ShardWriterOptions>;
  readonly #files: ShardFile[] = [];
  #data: Uint16Array | Uint32Array;
  #used = 0;
  #starts: number[] = [0];

  constructor(folder: string, options: ShardWriterOptions) {
    this.#folder = folder;
    this.#options = { shardTokens: 2 ** 25, ...options };
    const { shardTokens, split, tokenizer, vocabSize } = this.#options;
    if (!Number.isSafeInteger(shardTokens) || shardTokens < 1 || shardTokens > MAX_SHARD_TOKENS)
      throw new ArgumentError("token shards", `\`shardTokens\` is from 1 to 2^32 − 1: received ${shardTokens}`);
    if (!/^[a-z][a-z0-9]*$/.test(split))
      throw new ArgumentError("token shards", `\`split\` is letters and digits: received ${split}`);
    if (!/^[0-9a-f]{64}$/.test(tokenizer))
      throw new ArgumentError("token shards", `\`tokenizer\` is a SHA-256 in hexadecimal: received ${tokenizer}`);
    this.#data = tokenBytesOf(vocabSize) === 2 ? new Uint16Array(2 ** 12) : new Uint32Array(2 ** 12);
  }

  /** Adds a document. Errors: IndexError for an id outside the vocabulary, DataError for one of 2^32 tokens. */
  async add(ids: Uint16Array | Uint32Array): Promise<void> {
    const { vocabSize, shardTokens } = this.#options;
    for (let i = 0; i < ids.length; i++) {
      if (ids[i]! >= vocabSize)
        throw new IndexError("token shards", `id ${ids[i]} at ${i} is not in a vocabulary of ${vocabSize}`);
    }
    if (ids.length > MAX_SHARD_TOKENS) throw new DataError("token shards", `a document has ${ids.length} tokens`);
    if (this.#starts.length > 1 && this.#used + ids.length > shardTokens) await this.#flush();
    const needed = this.#used + ids.length;
    if (needed > this.#data.length) {
      const larger = new (this.#data.constructor as typeof Uint16Array)(Math.max(needed, 2 * this.#data.length));
      larger.set(this.#data.subarray(0, this.#used));
      this.#data = larger;
    }
    this.#data.set(ids, this.#used);
    this.#used = needed;
    this.#starts.push(needed);
  }

  /** Writes what is left; the shards in order. */
  async close(): Promise<readonly ShardFile[]> {
    if (this.#starts.length > 1) await this.#flush();
    return this.#files;
  }

  async #flush(): Promise<void> {
    const { split, vocabSize, tokenizer } = this.#options;
    const [tokens, documents] = [this.#used, this.#starts.length - 1];
    const bytesPerToken = this.#data.BYTES_PER_ELEMENT as 2 | 4;
    const header: ShardHeader = { bytesPerToken, tokens, documents, vocabSize, tokenizer };
    const bytes = new Uint8Array(this.#data.buffer, 0, tokens * bytesPerToken);
    const index = Uint32Array.from(this.#starts);
    const padding = new Uint8Array(indexOffset(header) - SHARD_HEADER - bytes.length);
    const pieces = [encodeShardHeader(header), bytes, padding, new Uint8Array(index.buffer)];
    const name = `${split}-${String(this.#files.length).padStart(5, "0")}.bin`;
    const hash = createHash("sha256");
    for (const piece of pieces) hash.update(piece);
    await writeFileAtomic(join(this.#folder, name), pieces);
    this.#files.push({ name, bytes: shardBytes(header), sha256: hash.digest("hex"), tokens, documents });
    this.#used = 0;
    this.#starts = [0];
  }
}
