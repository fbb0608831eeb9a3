// Reads a Hugging Face config.json field by field: a value of the wrong kind, or one that asks for another model, is refused.
import type { JsonValue } from "../../../src/data/index.ts";
import { FormatError } from "../../../src/engine/core/index.ts";

/** The fields of a config.json. A field that is absent or null has its fallback; without one it is an error. */
export class ConfigReader {
  readonly #where: string;
  readonly #fields: { readonly [name: string]: JsonValue };

  constructor(where: string, json: JsonValue) {
    if (typeof json !== "object" || json === null || Array.isArray(json))
      throw new FormatError(where, "bad-config", "config.json must hold an object");
    this.#where = where;
    this.#fields = json;
  }

  /** A whole number ≥ 1. */
  whole(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
      throw this.#bad(name, "must be a whole number ≥ 1", value);
    return value;
  }

  /** A number ≥ 0. */
  real(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (typeof value !== "number" || !(value >= 0 && value < Infinity))
      throw this.#bad(name, "must be a number ≥ 0", value);
    return value;
  }

  /** True or false. */
  flag(name: string, fallback?: boolean): boolean {
    const value = this.#get(name, fallback);
    if (typeof value !== "boolean") throw this.#bad(name, "must be true or false", value);
    return value;
  }

  /** Refuses what is not built: the field must be absent, null or one of these. */
  only(name: string, ...supported: readonly JsonValue[]): void {
    const value = this.#get(name, null);
    if (value === null || supported.includes(value)) return;
    const known = ["absent", ...supported.map((one) => JSON.stringify(one))].join(" or ");
    throw this.#bad(name, `is supported as ${known}`, value);
  }

  /** Refuses sizes that do not divide. */
  divides(part: number, name: string, total: number): void {
    if (total % part !== 0) throw this.#bad(name, `must divide by ${part}`, total);
  }

  #get(name: string, fallback: JsonValue | undefined): JsonValue {
    const value = (Object.hasOwn(this.#fields, name) ? this.#fields[name] : null) ?? fallback;
    if (value === undefined) throw new FormatError(this.#where, "bad-config", `config.json has no \`${name}\``);
    return value;
  }

  #bad(name: string, rule: string, value: JsonValue): FormatError {
    return new FormatError(this.#where, "bad-config", `\`${name}\` ${rule}: received ${JSON.stringify(value)}`);
  }
}
