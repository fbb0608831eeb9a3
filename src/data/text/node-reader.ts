// Reading a JSON file part by part: what is missing, of another kind or not understood is an error that names its place.
import { FormatError } from "../../engine/core/index.ts";
import type { JsonNode } from "../formats/index.ts";

/** One value of the file and the path to it. */
export class NodeReader {
  readonly value: JsonNode;
  readonly path: string;
  readonly where: string;

  constructor(value: JsonNode, where: string, path: string = "") {
    this.value = value;
    this.where = where;
    this.path = path;
  }

  /** A member of an object; null where it is absent. */
  get(key: string): NodeReader {
    return new NodeReader(this.map().get(key) ?? null, this.where, this.path === "" ? key : `${this.path}.${key}`);
  }

  get isNull(): boolean {
    return this.value === null;
  }

  map(): ReadonlyMap<string, JsonNode> {
    if (this.value instanceof Map) return this.value;
    throw this.#kind("an object");
  }

  list(): NodeReader[] {
    if (!Array.isArray(this.value)) throw this.#kind("a list");
    return this.value.map((item, i) => new NodeReader(item, this.where, `${this.path}[${i}]`));
  }

  text(): string {
    if (typeof this.value === "string") return this.value;
    throw this.#kind("a text");
  }

  flag(): boolean {
    if (typeof this.value === "boolean") return this.value;
    throw this.#kind("true or false");
  }

  /** An id: a whole number from 0 up to 2^22. */
  id(): number {
    if (typeof this.value === "number" && Number.isInteger(this.value) && this.value >= 0 && this.value < 2 ** 22)
      return this.value;
    throw this.#kind("an id from 0 to 2^22");
  }

  /** The text of the key `type`; "" where there is none. */
  type(): string {
    const type = this.get("type");
    return type.isNull ? "" : type.text();
  }

  /** Refuses keys that are not listed: nothing in a file is ignored. */
  only(...keys: string[]): this {
    for (const key of this.map().keys())
      if (!keys.includes(key)) throw new NodeReader(null, this.where, this.get(key).path).unsupported("is not known");
    return this;
  }

  /** Refuses everything but the values given. */
  oneOf(...values: readonly JsonNode[]): this {
    if (values.includes(this.value)) return this;
    throw this.unsupported(`${short(this.value)} is not supported (only ${values.map(short).join(" or ")})`);
  }

  /** The error for what the file wants and this package does not do. */
  unsupported(problem: string, hint?: string): FormatError {
    return this.fail("unsupported", problem, hint);
  }

  fail(code: string, problem: string, hint?: string): FormatError {
    return new FormatError(this.where, code, `${this.path === "" ? "the file" : this.path}: ${problem}`, {
      ...(hint !== undefined && { hint }),
    });
  }

  #kind(wanted: string): FormatError {
    return this.fail("wrong-type", `expected ${wanted}, received ${short(this.value)}`);
  }
}

function short(value: JsonNode): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return value.has("type") ? `the type ${JSON.stringify(value.get("type"))}` : "an object";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
