// Tokens as people see them: text in changing colours, or with a bar between tokens where there are no colours.
import type { Tokenizer } from "../data/text/index.ts";
import type { Output } from "./output.ts";

type Colors = Output["colors"];

/** Ids as text with their borders visible. Bytes that are no whole character are shown in hexadecimal, as `‹E6›`. */
export function tokenText(tokenizer: Tokenizer, ids: ArrayLike<number>, colors: Colors): string {
  const paints = [colors.bgBlue, colors.bgMagenta, colors.bgCyan, colors.bgGreen, colors.bgYellow];
  const parts = Array.from(ids, (id, i) => {
    const text = shown(tokenizer.tokenBytes(id));
    if (!colors.isColorSupported) return text;
    // A colour that goes on over the end of a line would fill the rest of it.
    const paint = paints[i % paints.length]!;
    return text
      .split("\n")
      .map((line) => (line === "" ? "" : paint(colors.black(line))))
      .join("\n");
  });
  return parts.join(colors.isColorSupported ? "" : "│");
}

/** The text of a token: control characters by their pictures, bytes that are no UTF-8 in hexadecimal. */
export function shown(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => `‹${byte.toString(16).toUpperCase().padStart(2, "0")}›`).join("");
  }
  return text.replace(/[\p{Cc}\u2028\u2029\ufeff]/gu, (c) => {
    if (c === "\n") return "⏎\n";
    const code = c.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
  });
}
