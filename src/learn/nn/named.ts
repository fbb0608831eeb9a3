// Things chosen by name (activations, initializers, regularizers, losses): closed tables, options checked, spelling helped.
import { ArgumentError } from "../../engine/core/index.ts";

/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
/** An object of JSON values: the configuration of a layer. */
export type JsonObject = { readonly [key: string]: Json };

/** A name, or a name with options: `"l2"`, `{ name: "l2", l2: 0.001 }`. */
export type Spec = string | (JsonObject & { readonly name: string });

/** One row of a table: how the thing is made, and which options it knows. */
export interface NamedEntry<T> {
  readonly make: (options: never) => T;
  readonly options?: readonly string[];
}

const specs = new WeakMap<object, Spec>();
const CUSTOM = "custom:";

/** Remembers by which name and options a thing was made, so that a model can be saved. */
export function named<T extends object>(
  name: string,
  options: { readonly [key: string]: Json | undefined },
  thing: T,
): T {
  const given = Object.entries(options).filter(([, value]) => value !== undefined) as [string, Json][];
  specs.set(thing, given.length === 0 ? name : { name, ...Object.fromEntries(given) });
  return thing;
}

/** The name (and options) a thing was made by; functions of your own get a name that cannot be loaded. */
export function specOf(thing: { readonly name: string }): Spec {
  return specs.get(thing) ?? `${CUSTOM}${thing.name === "" ? "function" : thing.name}`;
}

/** Whether a configuration holds a function of the user's own, which no file can name; its place if so. */
export function findCustom(value: Json, path: string = ""): string | undefined {
  if (typeof value === "string") return value.startsWith(CUSTOM) ? path : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, child] of Object.entries(value)) {
    const found = findCustom(child, path === "" ? key : `${path}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Spelling without meaning: `glorot_uniform`, `glorotUniform` and `GlorotUniform` are one name. */
export function plainName(name: string): string {
  return name.replaceAll(/[_\-\s]/g, "").toLowerCase();
}

/** The thing of this name in a closed table. Unknown names and options are refused, with the nearest known one. */
export function resolveNamed<T>(what: string, table: { readonly [name: string]: NamedEntry<T> }, spec: Spec): T {
  const { name, ...options } = typeof spec === "string" ? { name: spec } : spec;
  const known = Object.keys(table);
  const key = known.find((one) => plainName(one) === plainName(name));
  if (key === undefined) throw unknownName(what, name, known);
  const entry = table[key]!;
  const alien = Object.keys(options).find((option) => !(entry.options ?? []).includes(option));
  if (alien !== undefined) {
    const list = (entry.options ?? []).join(", ");
    throw new ArgumentError(what, `\`${key}\` has no option \`${alien}\``, {
      hint: list === "" ? "it takes no options" : `its options are ${list}`,
    });
  }
  return entry.make(options as never);
}

/** The error for a name that is not in a table. */
export function unknownName(what: string, name: string, known: readonly string[]): ArgumentError {
  const near = nearest(name, known);
  return new ArgumentError(what, `there is no ${what} named "${name}"`, {
    hint: near === undefined ? `known are: ${known.join(", ")}` : `did you mean "${near}"?`,
  });
}

/** The known name with the fewest edits, if they are few. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const plain = plainName(name);
  let best: string | undefined;
  let least = Math.max(2, Math.floor(plain.length / 3)) + 1;
  for (const one of known) {
    const distance = editDistance(plain, plainName(one));
    if (distance < least) [best, least] = [one, distance];
  }
  return best;
}

// Levenshtein's distance, one row at a time.
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
