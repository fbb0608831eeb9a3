// Text for training as it comes: strings, files, anything iterable; files in pieces, so that they may exceed memory.
import { createReadStream } from "node:fs";
import { FormatError } from "../../engine/core/index.ts";
import { documents, expandPaths, formatOf, type DocumentOptions } from "../datasets/index.ts";
import { openFile } from "../formats/index.ts";

/** Texts, one after the other. Each is a text of its own: no word spans two of them. */
export type TextSource = Iterable<string> | AsyncIterable<string> | { readonly files: readonly string[] };

/** A piece of a text, and whether the text ends with it. */
export interface Piece {
  readonly text: string;
  readonly last: boolean;
}

const PIECE = 2 ** 20;

/** The texts of a source in pieces of about 1 MiB. Errors: `FormatError` with `unreadable` or `bad-utf8`. */
export async function* pieces(source: TextSource): AsyncGenerator<Piece> {
  if (typeof source === "object" && "files" in source) {
    for (const path of source.files) yield* filePieces(path);
    return;
  }
  for await (const text of source) yield { text, last: true };
}

async function* filePieces(path: string): AsyncGenerator<Piece> {
  await (await openFile(path)).close(); // a missing file is the same typed error as everywhere
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let offset = 0;
  const decode = (bytes: Uint8Array | undefined): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (cause) {
      throw new FormatError(path, "bad-utf8", `the file is not UTF-8, near byte ${offset}`, {
        hint: "convert it, with iconv for example",
        cause,
      });
    }
  };
  for await (const chunk of createReadStream(path, { highWaterMark: PIECE })) {
    const bytes = chunk as Uint8Array;
    // A character that is cut at the end of the piece waits inside the decoder for the next one.
    yield { text: decode(bytes), last: false };
    offset += bytes.length;
  }
  yield { text: decode(undefined), last: true };
}

/**
 * The texts of files, folders and patterns: plain text as it lies, in pieces; of JSON Lines, Parquet and packed files each
 * document, read as `documents` reads them. Files of other extensions that are named themselves are plain text.
 */
export async function textsOf(paths: readonly string[], options: DocumentOptions = {}): Promise<TextSource> {
  const { files } = await expandPaths(paths);
  const plain = files.every((path) => (formatOf(path) ?? "text") === "text" && !/\.gz$/i.test(path));
  return plain ? { files } : documentTexts(paths, options);
}

async function* documentTexts(paths: readonly string[], options: DocumentOptions): AsyncGenerator<string> {
  for await (const { text } of documents(paths, options)) yield text;
}
