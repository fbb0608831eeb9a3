// UTF-8 in pieces: bytes to text without cutting a character, and the place of the first byte that is none.
import { isAscii, isUtf8 } from "node:buffer";
import { FormatError } from "../../engine/core/index.ts";

/** What to do with bytes that are no UTF-8: an error, or U+FFFD for each invalid sequence, counted. */
export type InvalidUtf8 = "error" | "replace";

/** Decodes a stream of bytes; a byte order mark at its beginning is left out. */
export class Utf8Decoder {
  readonly #where: string;
  readonly #invalid: InvalidUtf8;
  #held: Uint8Array = new Uint8Array();
  #first = true;
  /** Bytes decoded so far. */
  offset: number = 0;
  /** Invalid sequences that became U+FFFD. */
  replaced: number = 0;

  constructor(where: string, invalid: InvalidUtf8 = "error") {
    this.#where = where;
    this.#invalid = invalid;
  }

  /** The text of these bytes, as far as its characters are complete. */
  push(bytes: Uint8Array): string {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    const whole = all.length - incompleteTail(all);
    // A copy: the caller may use its memory again.
    this.#held = all.slice(whole);
    return this.#decode(all.subarray(0, whole));
  }

  /** What is left: bytes of a character that does not end. */
  end(): string {
    const rest = this.#held;
    this.#held = new Uint8Array();
    return this.#decode(rest);
  }

  #decode(bytes: Uint8Array): string {
    if (bytes.length === 0) return "";
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let text: string;
    // Most text is ASCII for long stretches: one byte a character, in memory and on the way to another thread.
    if (isAscii(buffer)) text = buffer.toString("latin1");
    else if (isUtf8(buffer)) text = buffer.toString("utf8");
    else if (this.#invalid === "error") {
      const at = this.offset + firstInvalidByte(bytes);
      throw new FormatError(this.#where, "bad-utf8", `byte ${at} is not UTF-8`, {
        hint: "convert the file to UTF-8, or ask for invalid bytes to be replaced",
      });
    } else {
      text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
      this.replaced += countOf(text, "\uFFFD") - countBytes(buffer, REPLACEMENT);
    }
    this.offset += bytes.length;
    if (this.#first && text.startsWith("\uFEFF")) text = text.slice(1);
    this.#first = false;
    return text;
  }
}

/** Offset of the first byte that no UTF-8 text holds at its place; the length where all are fine. */
export function firstInvalidByte(bytes: Uint8Array): number {
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at]!;
    const length = lengthOf(lead);
    if (length === 0) return at;
    const second = bytes[at + 1] ?? 0;
    // Overlong forms, halves of surrogate pairs, and beyond U+10FFFF.
    if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return at;
    if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return at;
    for (let i = 1; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return at;
    at += length;
  }
  return bytes.length;
}

const REPLACEMENT = Buffer.from("\uFFFD");

/** Bytes of a character by its first byte; 0 where no character begins so. */
function lengthOf(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

/** Number of bytes at the end that begin a character and do not complete it. */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    return lengthOf(byte) > back ? back : 0;
  }
  return 0;
}

/** How often `part` occurs in `text`. */
export function countOf(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}

function countBytes(bytes: Buffer, part: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(part); at >= 0; at = bytes.indexOf(part, at + part.length)) count++;
  return count;
}
