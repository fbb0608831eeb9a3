// Words of any language, as numbers: what near-duplicates and quality filters look at.

/** What one pass over a text sees. Characters are UTF-16 code units. */
export interface WordScan {
  /** A 32-bit hash of each word, in order; upper and lower case are one. */
  readonly words: Uint32Array;
  /** Characters that are no white space and no control characters. */
  readonly visible: number;
  /** Letters and the marks on them. */
  readonly letters: number;
  /** Control characters other than tab, line feed, carriage return and form feed; and U+FFFD. */
  readonly control: number;
  /** Characters in runs without white space that are longer than `longWord`. */
  readonly inLongWords: number;
}

// Classes of the basic plane: bits, so that one look says all. Built once, from the regular expressions that define them.
const SPACE = 1;
const CONTROL = 2;
const LETTER = 4;
const WORD = 8;
/** A word of its own: scripts that are written without spaces. */
const SINGLE = 16;

let table: Uint8Array | undefined;

function classes(): Uint8Array {
  if (table !== undefined) return table;
  table = new Uint8Array(2 ** 16);
  const kinds: readonly (readonly [RegExp, number])[] = [
    [/\s/u, SPACE],
    [/[\p{Cc}\uFFFD]/u, CONTROL],
    [/[\p{L}\p{M}]/u, LETTER],
    [/[\p{L}\p{M}\p{N}]/u, WORD],
    [
      /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u,
      SINGLE,
    ],
  ];
  for (let code = 0; code < table.length; code++) {
    if (code >= 0xd800 && code < 0xe000)
      table[code] = LETTER | SINGLE; // half a pair: rare letters and signs
    else {
      const character = String.fromCharCode(code);
      for (const [kind, bit] of kinds) if (kind.test(character)) table[code]! |= bit;
      if ((table[code]! & SPACE) !== 0) table[code] = SPACE; // line ends are space, no control characters
    }
  }
  return table;
}

let buffer: Uint32Array = new Uint32Array(2 ** 12);

/** Reads a text once: its words and how many characters are of which kind. */
export function scanWords(text: string, longWord: number = 100): WordScan {
  const kind = classes();
  const lower = text.toLowerCase();
  let [count, visible, letters, control, inLongWords] = [0, 0, 0, 0, 0];
  let hash = 0;
  let inWord = false;
  let run = 0;
  const length = lower.length;
  for (let i = 0; i <= length; i++) {
    const code = i < length ? lower.charCodeAt(i) : 0x20;
    const bits = kind[code]!;
    if (inWord && ((bits & WORD) === 0 || (bits & SINGLE) !== 0)) {
      if (count === buffer.length) buffer = grown(buffer);
      buffer[count++] = finish(hash);
      inWord = false;
    }
    if ((bits & SPACE) !== 0) {
      if (run > longWord) inLongWords += run;
      run = 0;
      continue;
    }
    if ((bits & CONTROL) !== 0) {
      control++;
      continue;
    }
    visible++;
    if ((bits & LETTER) !== 0) letters++;
    if ((bits & SINGLE) !== 0) {
      // No run grows here: text without spaces has no long words.
      if (count === buffer.length) buffer = grown(buffer);
      buffer[count++] = finish(Math.imul(code ^ OFFSET, PRIME));
      continue;
    }
    run++;
    if ((bits & WORD) !== 0) {
      hash = Math.imul((inWord ? hash : OFFSET) ^ code, PRIME);
      inWord = true;
    }
  }
  return { words: buffer.slice(0, count), visible, letters, control, inLongWords };
}

/** Hashes of all runs of `n` words in a row; of all words together where there are fewer; none without words. */
export function shingles(words: Uint32Array, n: number): Uint32Array {
  if (words.length === 0) return new Uint32Array();
  const size = Math.min(n, words.length);
  const out = new Uint32Array(words.length - size + 1);
  for (let i = 0; i < out.length; i++) {
    let hash = OFFSET;
    for (let k = 0; k < size; k++) hash = Math.imul(hash ^ words[i + k]!, 0x5bd1e995) ^ (hash >>> 15);
    out[i] = finish(hash);
  }
  return out;
}

// FNV-1a, with the last mixing of MurmurHash3 behind it.
const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

function finish(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function grown(array: Uint32Array): Uint32Array {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}
