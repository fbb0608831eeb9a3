// Pre-tokenization: text is cut into words before merges are looked for. The patterns of GPT-2 and GPT-4 as scanners.
import { classOf, LETTER, NUMBER, OTHER, pointAt, skipClass, SPACE } from "./char-class.ts";

/** Names of the patterns: `gpt4` is cl100k's (GPT-3.5, GPT-4, Llama 3); `qwen2` the same with digits one by one. */
export type PatternName = "gpt2" | "gpt4" | "qwen2";

/** Finds where the word that begins at `at` ends. What follows `end` does not exist for it. */
export type Scanner = (units: Uint16Array, at: number, end: number) => number;

/** A pattern: how files and other programs write it, and the scanner that does it. */
export interface Pattern {
  readonly name: PatternName;
  /** The regular expression as `tokenizer.json` holds it. */
  readonly regex: string;
  /** Other spellings that match the same. */
  readonly same?: readonly string[];
  readonly scan: Scanner;
}

/**
 * The patterns. They are scanners and not regular expressions: these read about ten times as fast, and no expression
 * from a file is ever run.
 *
 * Source: openai/gpt-2 `encoder.py`; openai/tiktoken's cl100k_base as Hugging Face spells it in Llama 3's and Qwen2's files.
 */
export const patterns: Readonly<Record<PatternName, Pattern>> = {
  gpt2: {
    name: "gpt2",
    regex: String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
    scan: scanGpt2,
  },
  gpt4: {
    name: "gpt4",
    regex: cl100k(String.raw`\p{N}{1,3}`),
    same: [
      String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`,
    ],
    scan: (units, at, end) => scanCl100k(units, at, end, 3),
  },
  qwen2: { name: "qwen2", regex: cl100k(String.raw`\p{N}`), scan: (u, at, end) => scanCl100k(u, at, end, 1) },
};

function cl100k(digits: string): string {
  return String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
}

const APOSTROPHE = 0x27;
const BLANK = 0x20;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

function scanGpt2(units: Uint16Array, at: number, end: number): number {
  const first = units[at]!;
  if (first === APOSTROPHE) {
    const length = contraction(units, at, end, false);
    if (length > 0) return at + length;
  }
  const from = first === BLANK ? at + 1 : at;
  if (from < end) {
    const kind = classOf(pointAt(units, from, end));
    if (kind !== SPACE) return skipClass(units, from, end, kind);
  }
  return spaces(units, at, end);
}

function scanCl100k(units: Uint16Array, at: number, end: number, digits: number): number {
  const first = pointAt(units, at, end);
  if (first === APOSTROPHE) {
    const length = contraction(units, at, end, true);
    if (length > 0) return at + length;
  }
  const kind = classOf(first);
  if (kind === LETTER) return skipClass(units, at, end, LETTER);
  const next = first > 0xffff ? at + 2 : at + 1;
  if (kind === NUMBER) return numbers(units, next, end, digits - 1);
  const newline = first === NEWLINE || first === RETURN;
  if (!newline && next < end && classOf(pointAt(units, next, end)) === LETTER)
    return skipClass(units, next, end, LETTER);
  if (kind === OTHER) return newlines(units, skipClass(units, next, end, OTHER), end);
  if (first === BLANK && next < end && classOf(pointAt(units, next, end)) === OTHER)
    return newlines(units, skipClass(units, next, end, OTHER), end);
  // White space up to its last newline, if it has one.
  const stop = skipClass(units, at, end, SPACE);
  for (let last = stop - 1; last >= at; last--) if (units[last] === NEWLINE || units[last] === RETURN) return last + 1;
  return spaces(units, at, end);
}

// White space leaves its last character to the word behind it. No white space is outside the basic plane.
function spaces(units: Uint16Array, at: number, end: number): number {
  const stop = skipClass(units, at, end, SPACE);
  return stop === end || stop - at === 1 ? stop : stop - 1;
}

function newlines(units: Uint16Array, at: number, end: number): number {
  while (at < end && (units[at] === NEWLINE || units[at] === RETURN)) at++;
  return at;
}

function numbers(units: Uint16Array, at: number, end: number, left: number): number {
  for (; left > 0 && at < end; left--) {
    const point = pointAt(units, at, end);
    if (classOf(point) !== NUMBER) break;
    at += point > 0xffff ? 2 : 1;
  }
  return at;
}

// The length of 's 't 'm 'd 're 've 'll at an apostrophe, or 0. Without case, U+017F (ſ) is an s too.
function contraction(units: Uint16Array, at: number, end: number, anyCase: boolean): number {
  if (at + 1 >= end) return 0;
  const a = fold(units[at + 1]!, anyCase);
  if (a === 0x73 || a === 0x74 || a === 0x6d || a === 0x64) return 2;
  if (at + 2 >= end) return 0;
  const b = fold(units[at + 2]!, anyCase);
  if ((a === 0x72 || a === 0x76) && b === 0x65) return 3;
  return a === 0x6c && b === 0x6c ? 3 : 0;
}

function fold(unit: number, anyCase: boolean): number {
  if (!anyCase) return unit;
  if (unit === 0x17f) return 0x73;
  return unit >= 0x41 && unit <= 0x5a ? unit + 32 : unit;
}

/**
 * The last place in `units[from, end)` at which text may be cut so that the words are those of the whole, whatever
 * follows; `from` where there is none. In every pattern here a letter or number followed by another class ends a word, and
 * no pattern looks back.
 */
export function cutPoint(units: Uint16Array, from: number, end: number): number {
  for (let at = end - 1; at > from; at--) {
    const unit = units[at]!;
    if (unit >= 0xd800 && unit <= 0xdfff) continue; // not inside a pair; elsewhere is soon found
    const kind = classOf(unit);
    const before = units[at - 1]!;
    if (before >= 0xd800 && before <= 0xdfff) continue;
    const kindBefore = classOf(before);
    if (kind !== kindBefore && (kindBefore === LETTER || kindBefore === NUMBER)) return at;
  }
  return from;
}

/** A pattern by its name, or by the expression a file holds; undefined where it is none of ours. */
export function findPattern(text: string): Pattern | undefined {
  return Object.values(patterns).find(
    ({ name, regex, same }) => text === name || text === regex || same?.includes(text),
  );
}
