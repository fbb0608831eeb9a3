// Added tokens: texts that are one token each and are looked for before anything else. Special ones only where allowed.
import { ArgumentError } from "../../engine/core/index.ts";
import type { EncodeOptions } from "./tokenizer.ts";

/** A token beside the trained ones, with the properties Hugging Face's files give it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A special token stands for no text: it is found only where it is allowed. Others are always found. */
  readonly special: boolean;
  /** Only where no letter or digit touches it. */
  readonly singleWord?: boolean;
  /** Takes the white space before it. */
  readonly lstrip?: boolean;
  /** Takes the white space after it. */
  readonly rstrip?: boolean;
  /** Is looked for after normalization; kept for the file. */
  readonly normalized?: boolean;
}

/** A stretch of the text: an added token, or text in between (`token` undefined). */
export interface Stretch {
  readonly start: number;
  readonly end: number;
  readonly token?: AddedToken;
}

// \w of Unicode, as Rust reads it.
const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /\p{White_Space}/u;

/** Finds the added tokens of a text: the leftmost, of several there the longest. */
export class AddedTokens {
  readonly special: ReadonlyMap<string, number>;
  readonly list: readonly AddedToken[];
  readonly byId: ReadonlyMap<number, AddedToken>;
  readonly #byText: ReadonlyMap<string, AddedToken>;
  readonly #finders = new Map<string, RegExp | undefined>();

  constructor(list: readonly AddedToken[]) {
    this.list = list;
    this.byId = new Map(list.map((token) => [token.id, token]));
    this.#byText = new Map(list.map((token) => [token.content, token]));
    this.special = new Map(list.filter(({ special }) => special).map(({ content, id }) => [content, id]));
  }

  find(text: string): AddedToken | undefined {
    return this.#byText.get(text);
  }

  /** The text cut at its added tokens; stretches without text are left out. */
  split(text: string, { allowedSpecial = [] }: EncodeOptions, where: string): readonly Stretch[] {
    const finder = this.#finder(allowedSpecial, where);
    if (finder === undefined) return text === "" ? [] : [{ start: 0, end: text.length }];
    const stretches: Stretch[] = [];
    let done = 0;
    for (const match of text.matchAll(finder)) {
      const token = this.#byText.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (start < done) continue; // the one before took it with its white space
      if (token.singleWord === true && inWord(text, start, end)) continue;
      if (token.lstrip === true) while (start > done && SPACE.test(text[start - 1]!)) start--;
      if (token.rstrip === true) while (end < text.length && SPACE.test(text[end]!)) end++;
      if (start > done) stretches.push({ start: done, end: start });
      stretches.push({ start, end, token });
      done = end;
    }
    if (done < text.length) stretches.push({ start: done, end: text.length });
    return stretches;
  }

  #finder(allowed: "all" | readonly string[], where: string): RegExp | undefined {
    const key = allowed === "all" ? "all" : JSON.stringify(allowed);
    if (this.#finders.has(key)) return this.#finders.get(key);
    for (const text of allowed === "all" ? [] : allowed) {
      if (this.special.has(text)) continue;
      const known = [...this.special.keys()].map((name) => JSON.stringify(name)).join(", ");
      throw new ArgumentError(where, `allowedSpecial names ${JSON.stringify(text)}, which is no special token`, {
        hint: known === "" ? "this tokenizer has none" : `it has ${known}`,
      });
    }
    const texts = this.list
      .filter(({ special, content }) => !special || allowed === "all" || allowed.includes(content))
      .map(({ content }) => content)
      .toSorted((a, b) => b.length - a.length);
    const finder = texts.length === 0 ? undefined : new RegExp(texts.map(escape).join("|"), "g");
    if (this.#finders.size >= 64) this.#finders.clear();
    this.#finders.set(key, finder);
    return finder;
  }
}

// Whether a letter or digit touches it; a character has at most two units.
function inWord(text: string, start: number, end: number): boolean {
  return WORD_BEFORE.test(text.slice(Math.max(0, start - 2), start)) || WORD_AFTER.test(text.slice(end, end + 2));
}

function escape(text: string): string {
  return text.replace(/[\\^$*+?.()|[\]{}/-]/g, "\\$&");
}
