// Classes of characters as the pre-tokenizers need them: letter, number, white space, anything else; found once each.

/** What a character is. `other` is all that is no letter (\p{L}), no number (\p{N}) and no white space. */
export const LETTER = 1;
export const NUMBER = 2;
export const SPACE = 3;
export const OTHER = 4;

/** Code points there are. */
const POINTS = 0x110000;

const IS_LETTER = /^\p{L}$/u;
const IS_NUMBER = /^\p{N}$/u;
// White_Space of Unicode, as Rust, Oniguruma and so tiktoken and Hugging Face read \s. JavaScript's own \s lacks U+0085
// and has U+FEFF besides.
const IS_SPACE = /^\p{White_Space}$/u;

// Zero is "not asked yet": the expressions are slow and a text holds few different characters.
const table = new Uint8Array(POINTS);

function find(point: number): number {
  const text = String.fromCodePoint(point);
  const found = IS_LETTER.test(text) ? LETTER : IS_NUMBER.test(text) ? NUMBER : IS_SPACE.test(text) ? SPACE : OTHER;
  table[point] = found;
  return found;
}

/** The class of a code point; half a surrogate pair is `OTHER`, as U+FFFD is. */
export function classOf(point: number): number {
  return table[point] || find(point);
}

/** The code point that begins at `at`; half a pair stands for itself. */
export function pointAt(units: Uint16Array, at: number, end: number): number {
  const unit = units[at]!;
  if (unit < 0xd800 || unit > 0xdbff || at + 1 >= end) return unit;
  const low = units[at + 1]!;
  return low >= 0xdc00 && low <= 0xdfff ? ((unit - 0xd800) << 10) + (low - 0xdc00) + 0x10000 : unit;
}

/** The first place from `at` whose character is of another class. */
export function skipClass(units: Uint16Array, at: number, end: number, kind: number): number {
  while (at < end) {
    const unit = units[at]!;
    if (unit < 0xd800 || unit > 0xdfff) {
      if ((table[unit] || find(unit)) !== kind) return at;
      at++;
    } else {
      const point = pointAt(units, at, end);
      if (classOf(point) !== kind) return at;
      at += point > 0xffff ? 2 : 1;
    }
  }
  return at;
}
