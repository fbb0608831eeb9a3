// Reads a Hugging Face config.json field by field: a value of the wrong kind, one that asks for another model, or a field
// nobody knows is refused by its name.
import { FormatError, nearestName } from "../../engine/core/index.ts";
import type { JsonValue } from "../../data/formats/index.ts";

/** A config.json. */
export type ConfigJson = { readonly [field: string]: JsonValue };

/** Fields that say nothing about what is computed: they are kept when a config is written back, and never read. */
const SILENT = [
  "model_type",
  "architectures",
  "torch_dtype",
  "dtype",
  "transformers_version",
  "_name_or_path",
  "use_cache",
  "bos_token_id",
  "eos_token_id",
  "pad_token_id",
  "unk_token_id",
  "task_specific_params",
  "gradient_checkpointing",
  "output_attentions",
  "output_hidden_states",
  "return_dict",
  "chunk_size_feed_forward",
  "id2label",
  "label2id",
];

/** The fields of a config.json. A field that is absent or null has its fallback; without one it is an error. */
export class ConfigReader {
  readonly #where: string;
  readonly #fields: ConfigJson;
  readonly #known = new Set<string>(SILENT);

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

  /** A probability of dropping: 0 ≤ p < 1. */
  rate(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (typeof value !== "number" || !(value >= 0 && value < 1)) throw this.#bad(name, "must be in [0, 1)", value);
    return value;
  }

  /** True or false. */
  flag(name: string, fallback?: boolean): boolean {
    const value = this.#get(name, fallback);
    if (typeof value !== "boolean") throw this.#bad(name, "must be true or false", value);
    return value;
  }

  /** Whether the field is there and not null. */
  has(name: string): boolean {
    this.#known.add(name);
    return Object.hasOwn(this.#fields, name) && this.#fields[name] !== null;
  }

  /** The field as it is, null where it is absent. */
  raw(name: string): JsonValue {
    return this.has(name) ? this.#fields[name]! : null;
  }

  /** Refuses what is not built: the field must be absent, null or one of these. */
  only(name: string, ...supported: readonly JsonValue[]): void {
    const value = this.#get(name, null);
    if (value === null || supported.includes(value)) return;
    const known = ["absent", ...supported.map((one) => JSON.stringify(one))].join(" or ");
    throw this.#bad(name, `is supported as ${known}`, value);
  }

  /** Refuses a field whose value is not understood. */
  refuse(name: string, rule: string): never {
    throw this.#bad(name, rule, this.raw(name));
  }

  /** Refuses sizes that do not divide. */
  divides(part: number, name: string, total: number): void {
    if (total % part !== 0) throw this.#bad(name, `must divide by ${part}`, total);
  }

  /** Fields that may be there and change nothing. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** Refuses fields nobody asked for: an option that is written wrongly must not be dropped silently. */
  finish(): void {
    const unknown = Object.keys(this.#fields).filter((name) => !this.#known.has(name));
    if (unknown.length === 0) return;
    const near = unknown.map((name) => {
      const best = nearestName(name, [...this.#known]);
      return best === undefined ? name : `${name} (${best}?)`;
    });
    throw new FormatError(this.#where, "unknown-config", `config.json has fields nobody knows: ${near.join(", ")}`, {
      hint: "correct the name, or take the field out if it changes nothing",
    });
  }

  #get(name: string, fallback: JsonValue | undefined): JsonValue {
    this.#known.add(name);
    const value = (Object.hasOwn(this.#fields, name) ? this.#fields[name] : null) ?? fallback;
    if (value === undefined) throw new FormatError(this.#where, "bad-config", `config.json has no \`${name}\``);
    return value;
  }

  #bad(name: string, rule: string, value: JsonValue): FormatError {
    return new FormatError(this.#where, "bad-config", `\`${name}\` ${rule}: received ${JSON.stringify(value)}`);
  }
}
