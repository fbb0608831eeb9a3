// Tokens by name: what log-probabilities call a token that may be half a character.
import type { Tokenizer } from "../data/text/index.ts";

/** The text of a token; bytes that are no text as OpenAI writes them: `bytes:\xe2\x80`. */
export function tokenName(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenBytes(tokenizer, id);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}

/** The bytes of a token; none for an id of the model that the tokenizer does not have. */
export function tokenBytes(tokenizer: Tokenizer, id: number): Uint8Array {
  return id < tokenizer.vocabSize ? tokenizer.tokenBytes(id) : new Uint8Array(0);
}
