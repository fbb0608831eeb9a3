// Text with colours on one line of a terminal: how wide it is, and where it must be cut.

// oxlint-disable-next-line no-control-regex
const CODES = /\x1b\[\d+m/g;

/** Columns a text takes, colours not counted. */
export function visible(text: string): number {
  return text.replace(CODES, "").length;
}

/** Cuts what would run over the edge of the terminal: a line that wraps cannot be redrawn. Colour codes take no room. */
export function cut(text: string, room: number): string {
  if (visible(text) < room) return text;
  let out = "";
  let width = 0;
  // oxlint-disable-next-line no-control-regex
  for (const part of text.split(/(\x1b\[\d+m)/)) {
    if (part.startsWith("\x1b")) out += part;
    else {
      const piece = part.slice(0, Math.max(0, room - 1 - width));
      out += piece;
      width += piece.length;
    }
  }
  return out;
}
