// Text as UTF-16 units in typed arrays: scanning them is faster than asking a string for one character after the other.

const swapped = new Uint8Array(new Uint16Array([1]).buffer)[0] !== 1;

/** A reused buffer for one text at a time. */
export class Units {
  #bytes: Buffer = Buffer.alloc(0);
  units: Uint16Array = new Uint16Array(0);

  /** Copies a text in, from unit `at` on; the units of it are `units[0, at + text.length)`. */
  load(text: string, at: number = 0): Uint16Array {
    this.#reserve(at + text.length);
    this.#bytes.write(text, at * 2, "utf16le");
    if (swapped) this.#bytes.subarray(at * 2, (at + text.length) * 2).swap16();
    return this.units;
  }

  #reserve(length: number): void {
    if (length <= this.units.length) return;
    const memory = new ArrayBuffer(Math.max(length, 2 * this.units.length, 1024) * 2);
    const units = new Uint16Array(memory);
    units.set(this.units);
    this.units = units;
    this.#bytes = Buffer.from(memory);
  }

  /** Gives memory back that one long text asked for. */
  trim(limit: number): void {
    if (this.units.length <= limit) return;
    this.units = new Uint16Array(0);
    this.#bytes = Buffer.alloc(0);
  }
}

/**
 * Writes units as UTF-8 and returns the place behind the last byte. Half a surrogate pair becomes U+FFFD (EF BF BD), as
 * with TextEncoder. `bytes` needs room for three bytes a unit.
 */
export function writeUtf8(units: Uint16Array, from: number, to: number, bytes: Uint8Array): number {
  let n = 0;
  for (let at = from; at < to; at++) {
    let c = units[at]!;
    if (c < 0x80) {
      bytes[n++] = c;
      continue;
    }
    if (c < 0x800) {
      bytes[n++] = 0xc0 | (c >> 6);
      bytes[n++] = 0x80 | (c & 63);
      continue;
    }
    if (c >= 0xd800 && c <= 0xdfff) {
      const low = at + 1 < to ? units[at + 1]! : 0;
      if (c <= 0xdbff && low >= 0xdc00 && low <= 0xdfff) {
        at++;
        c = ((c - 0xd800) << 10) + (low - 0xdc00) + 0x10000;
        bytes[n++] = 0xf0 | (c >> 18);
        bytes[n++] = 0x80 | ((c >> 12) & 63);
        bytes[n++] = 0x80 | ((c >> 6) & 63);
        bytes[n++] = 0x80 | (c & 63);
        continue;
      }
      c = 0xfffd;
    }
    bytes[n++] = 0xe0 | (c >> 12);
    bytes[n++] = 0x80 | ((c >> 6) & 63);
    bytes[n++] = 0x80 | (c & 63);
  }
  return n;
}
