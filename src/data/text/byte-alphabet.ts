// The byte alphabet of GPT-2: each byte has one visible character, so that files can hold tokens that are no UTF-8.

const charOfByte: string[] = [];
const byteOfChar = new Map<string, number>();
for (let byte = 0, extra = 0; byte < 256; byte++) {
  const visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
  const char = String.fromCharCode(visible ? byte : 256 + extra++);
  charOfByte.push(char);
  byteOfChar.set(char, byte);
}

/** The bytes in the order of their characters: that of the first ids of a trained vocabulary. */
export const bytesInOrder: readonly number[] = charOfByte
  .map((char, byte) => ({ char, byte }))
  .toSorted((a, b) => a.char.charCodeAt(0) - b.char.charCodeAt(0))
  .map(({ byte }) => byte);

/** Bytes as characters of the alphabet: a blank is `Ġ`. */
export function bytesToAlphabet(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += charOfByte[byte]!;
  return text;
}

/** The bytes of a text in the alphabet; undefined where a character is not of it. */
export function alphabetToBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = byteOfChar.get(text[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** Bytes as a text of one character a byte: a key of Maps. */
export function byteKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
