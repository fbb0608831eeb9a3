// A strict JSON scanner for untrusted files: duplicate keys, depth, lost digits and `__proto__` are errors.
import { FormatError } from "../../engine/core/index.ts";

/** A parsed JSON value. */
export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/** A parsed value whose objects are Maps, so that no key can touch a prototype. */
export type JsonNode = null | boolean | number | string | JsonNode[] | Map<string, JsonNode>;

/** Limits of one parse. */
export interface JsonOptions {
  /** What errors call the text. */
  readonly where?: string;
  /** Deepest nesting of arrays and objects; default 64. */
  readonly maxDepth?: number;
}

/** Refuses or converts a number literal; gets its text, so that `1`, `1.0` and `1e0` can be told apart. */
export type NumberRule = (literal: string, where: string) => number;

/**
 * Parses JSON (RFC 8259) strictly: duplicate keys, `__proto__`, deep nesting, lone surrogates and whole numbers
 * that float64 cannot keep are errors instead of silent changes.
 *
 * Errors: `FormatError` with code `syntax`, `duplicate-key`, `too-deep`, `proto-key`, `unsafe-integer`,
 * `number-range`, `lone-surrogate` or `trailing-data`.
 *
 * @example
 * parseJson('{"a": [1, 2]}'); // { a: [1, 2] }
 */
export function parseJson(text: string, options: JsonOptions = {}): JsonValue {
  return new Scanner<JsonValue>(text, options, { object: plainObjects, number: plainNumber }).document();
}

/** The same scanner with objects as Maps (any key is safe) and a rule for numbers of the caller's choice. */
export function scanJson(text: string, options: JsonOptions & { readonly number?: NumberRule } = {}): JsonNode {
  return new Scanner<JsonNode>(text, options, { object: maps, number: options.number ?? plainNumber }).document();
}

interface Rules<V> {
  readonly object: Objects<V>;
  readonly number: NumberRule;
}

/** How objects are kept: made empty, asked for a key, given a key that they do not have. */
interface Objects<V> {
  make(): V;
  has(target: V, key: string): boolean;
  set(target: V, key: string, value: V): void;
}

// `__proto__` never gets as far as `set`: the scanner refuses it for objects that have a prototype.
const plainObjects: Objects<JsonValue> = {
  make: () => ({}),
  has: (target, key) => Object.hasOwn(target as object, key),
  set: (target, key, value) => void ((target as { [key: string]: JsonValue })[key] = value),
};
const maps: Objects<JsonNode> = {
  make: () => new Map<string, JsonNode>(),
  has: (target, key) => (target as Map<string, JsonNode>).has(key),
  set: (target, key, value) => void (target as Map<string, JsonNode>).set(key, value),
};

function plainNumber(literal: string, where: string): number {
  const value = Number(literal);
  if (!Number.isFinite(value)) {
    throw new FormatError(where, "number-range", `${shorten(literal)} is outside the range of float64`);
  }
  // A whole number beyond 2^53 must come back digit by digit, as one written from a float64 does.
  if (!Number.isSafeInteger(value) && /^-?\d+$/.test(literal) && String(value) !== literal) {
    throw new FormatError(where, "unsafe-integer", `${shorten(literal)} would lose digits: it becomes ${value}`, {
      hint: "write it as a string",
    });
  }
  return value;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LONE_SURROGATE = /\p{Surrogate}/u;
const ESCAPES: { readonly [c: string]: string } = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Scanner<V> {
  #at = 0;
  readonly #text: string;
  readonly #where: string;
  readonly #maxDepth: number;
  readonly #rules: Rules<V>;

  constructor(text: string, options: JsonOptions, rules: Rules<V>) {
    this.#text = text;
    this.#where = options.where ?? "json";
    this.#maxDepth = options.maxDepth ?? 64;
    this.#rules = rules;
  }

  document(): V {
    this.#space();
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) throw this.#error("trailing-data", "something follows the end of the value");
    return value;
  }

  #value(depth: number): V {
    const c = this.#text[this.#at];
    if (c === '"') return this.#string() as V;
    if (c === "{" || c === "[") {
      if (depth >= this.#maxDepth) throw this.#error("too-deep", `nesting is deeper than ${this.#maxDepth}`);
      this.#at++;
      return c === "{" ? this.#object(depth + 1) : (this.#array(depth + 1) as V);
    }
    if (c === "t") return this.#word("true", true as V);
    if (c === "f") return this.#word("false", false as V);
    if (c === "n") return this.#word("null", null as V);
    NUMBER.lastIndex = this.#at;
    const literal = NUMBER.exec(this.#text)?.[0];
    if (literal === undefined) throw this.#error("syntax", `expected a value, received ${this.#here()}`);
    this.#at += literal.length;
    return this.#rules.number(literal, this.#where) as V;
  }

  #object(depth: number): V {
    const { make, has, set } = this.#rules.object;
    const out = make();
    this.#space();
    if (this.#text[this.#at] === "}") {
      this.#at++;
      return out;
    }
    for (;;) {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#error("syntax", `expected a key, received ${this.#here()}`);
      const key = this.#string();
      if (has(out, key)) throw this.#error("duplicate-key", `the key ${JSON.stringify(shorten(key))} appears twice`);
      if (key === "__proto__" && !(out instanceof Map))
        throw this.#error("proto-key", "the key `__proto__` is refused");
      this.#space();
      this.#expect(":");
      this.#space();
      set(out, key, this.#value(depth));
      if (this.#end("}")) return out;
    }
  }

  #array(depth: number): V[] {
    const items: V[] = [];
    this.#space();
    if (this.#text[this.#at] === "]") {
      this.#at++;
      return items;
    }
    for (;;) {
      this.#space();
      items.push(this.#value(depth));
      if (this.#end("]")) return items;
    }
  }

  /** After an item: true at the closing bracket, false after a comma. */
  #end(close: string): boolean {
    this.#space();
    const c = this.#text[this.#at];
    if (c !== close && c !== ",") throw this.#error("syntax", `expected "," or "${close}", received ${this.#here()}`);
    this.#at++;
    return c === close;
  }

  #string(): string {
    this.#at++;
    let out = "";
    let surrogates = false;
    for (;;) {
      const text = this.#text;
      const start = this.#at;
      let at = start;
      for (let code = text.charCodeAt(at); isPlain(code); code = text.charCodeAt(++at)) {
        if (code >= 0xd800 && code <= 0xdfff) surrogates = true;
      }
      out += text.slice(start, at);
      this.#at = at;
      const c = this.#text[this.#at];
      if (c === '"') break;
      if (c !== "\\")
        throw this.#error("syntax", c === undefined ? "a string does not end" : "a raw control character");
      out += this.#escape();
      surrogates = true; // perhaps: only escapes and surrogates themselves can make half a pair
    }
    this.#at++;
    if (surrogates && LONE_SURROGATE.test(out))
      throw this.#error("lone-surrogate", "a string holds half a surrogate pair");
    return out;
  }

  #escape(): string {
    const c = this.#text[this.#at + 1] ?? "";
    if (c !== "u") {
      const plain = ESCAPES[c];
      if (plain === undefined) throw this.#error("syntax", `\\${c} is not an escape`);
      this.#at += 2;
      return plain;
    }
    const hex = this.#text.slice(this.#at + 2, this.#at + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) throw this.#error("syntax", "\\u takes four hexadecimal digits");
    this.#at += 6;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  #word(word: string, value: V): V {
    if (!this.#text.startsWith(word, this.#at))
      throw this.#error("syntax", `expected a value, received ${this.#here()}`);
    this.#at += word.length;
    return value;
  }

  #expect(c: string): void {
    if (this.#text[this.#at] !== c) throw this.#error("syntax", `expected "${c}", received ${this.#here()}`);
    this.#at++;
  }

  #space(): void {
    for (;;) {
      const c = this.#text.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.#at++;
    }
  }

  #here(): string {
    const c = this.#text[this.#at];
    return c === undefined ? "the end" : JSON.stringify(c);
  }

  #error(code: string, problem: string): FormatError {
    return new FormatError(this.#where, code, `${problem} (at character ${this.#at})`);
  }
}

// Characters of a string that need no care: no quote, no backslash, no control character, not the end (NaN).
function isPlain(code: number): boolean {
  return code >= 0x20 && code !== 0x22 && code !== 0x5c;
}

function shorten(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
