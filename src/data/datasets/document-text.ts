// Cutting a stream of text into documents: at a separator, at blank lines, or not at all.
import { FormatError } from "../../engine/core/index.ts";
import { countOf } from "./utf8.ts";

/** Where a document ends: at a text such as `<|endoftext|>`, or at so many blank lines in a row. */
export type Separator = string | { readonly blankLines: number };

/** A piece of a file and the line it begins in, counted from 1. */
export interface Piece {
  readonly text: string;
  readonly line: number;
}

/** Takes text as it comes and gives the documents that are complete. */
export interface Splitter {
  push(text: string): Generator<Piece>;
  end(): Generator<Piece>;
}

/** A splitter for one file; a document of more than `maxLength` UTF-16 units is the error `document-too-long`. */
export function splitterOf(where: string, separator: Separator | undefined, maxLength: number): Splitter {
  const held = new Held(where, maxLength);
  if (separator === undefined) return wholeFile(held);
  if (typeof separator === "string") return atText(held, separator);
  return atBlankLines(held, separator.blankLines);
}

/** Text that waits for the end of its document, in pieces: joined once. */
class Held {
  readonly #where: string;
  readonly #maxLength: number;
  #parts: string[] = [];
  #length = 0;
  /** Line in which the text that is held begins. */
  line = 1;

  constructor(where: string, maxLength: number) {
    this.#where = where;
    this.#maxLength = maxLength;
  }

  get empty(): boolean {
    return this.#length === 0;
  }

  add(text: string): void {
    if (text === "") return;
    this.#length += text.length;
    if (this.#length > this.#maxLength) {
      const problem = `a document has more than ${this.#maxLength} characters`;
      throw new FormatError(`${this.#where}:${this.line}`, "document-too-long", problem, {
        hint: "name the separator of documents, or raise the limit",
      });
    }
    this.#parts.push(text);
  }

  /** The document; the next one begins after it and a separator of so many line ends. */
  take(separatorLines: number): Piece {
    const text = this.#parts.join("");
    const piece = { text, line: this.line };
    this.line += countOf(text, "\n") + separatorLines;
    this.#parts = [];
    this.#length = 0;
    return piece;
  }
}

function wholeFile(held: Held): Splitter {
  return {
    // oxlint-disable-next-line require-yield
    *push(text) {
      held.add(text);
    },
    *end() {
      yield held.take(0);
    },
  };
}

function atText(held: Held, separator: string): Splitter {
  const lines = countOf(separator, "\n");
  // The end of what came may be the beginning of a separator.
  let tail = "";
  return {
    *push(chunk) {
      const text = tail + chunk;
      let start = 0;
      for (let at = text.indexOf(separator); at >= 0; at = text.indexOf(separator, start)) {
        held.add(text.slice(start, at));
        yield held.take(lines);
        start = at + separator.length;
      }
      const keep = Math.min(separator.length - 1, text.length - start);
      held.add(text.slice(start, text.length - keep));
      tail = text.slice(text.length - keep);
    },
    *end() {
      held.add(tail);
      tail = "";
      yield held.take(0);
    },
  };
}

function atBlankLines(held: Held, wanted: number): Splitter {
  // The line under way, in pieces; blank lines that perhaps belong to the document.
  let line: string[] = [];
  let blank: string[] = [];
  const finish = function* (text: string): Generator<Piece> {
    if (text.trim() === "") {
      blank.push(text);
      return;
    }
    if (held.empty) {
      held.line += blank.length;
      blank = [];
    } else if (blank.length >= wanted) {
      yield held.take(1 + blank.length);
      blank = [];
    }
    // A line end stands between lines: a document neither begins nor ends with one.
    for (const one of [...blank, text]) held.add(held.empty ? one : `\n${one}`);
    blank = [];
  };
  return {
    *push(chunk) {
      let start = 0;
      for (let at = chunk.indexOf("\n"); at >= 0; at = chunk.indexOf("\n", start)) {
        line.push(chunk.slice(start, at));
        const text = line.join("");
        line = [];
        yield* finish(text);
        start = at + 1;
      }
      if (start < chunk.length) line.push(chunk.slice(start));
    },
    *end() {
      if (line.length > 0) yield* finish(line.join(""));
      line = [];
      if (!held.empty) yield held.take(0);
    },
  };
}
