// Ids to text: bytes joined and read as UTF-8, at once or as they come.
import type { DecodeOptions, StreamDecoder } from "./tokenizer.ts";

/** What a decoder needs of a tokenizer. */
export interface TokenSource {
  /** The bytes of a token, shared; an IndexError where there is none. */
  bytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
}

/** The text of ids; bytes that are no UTF-8 become U+FFFD. */
export function decodeIds(source: TokenSource, ids: ArrayLike<number>, { skipSpecial = false }: DecodeOptions): string {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    const bytes = source.bytes(id);
    if (!skipSpecial || !source.isSpecial(id)) parts.push(bytes);
  }
  return utf8().decode(Buffer.concat(parts));
}

/** Decodes ids one by one; the parts together are what `decodeIds` gives. */
export function streamDecoder(source: TokenSource, { skipSpecial = false }: DecodeOptions): StreamDecoder {
  const decoder = utf8();
  return {
    push(id) {
      const bytes = source.bytes(id);
      return skipSpecial && source.isSpecial(id) ? "" : decoder.decode(bytes, { stream: true });
    },
    end: () => decoder.decode(),
  };
}

// A byte order mark is text like any other.
function utf8(): InstanceType<typeof TextDecoder> {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
