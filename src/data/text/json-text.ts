// JSON of Maps as text, in the order of their keys: objects would put keys that look like numbers first.
import type { JsonNode, JsonValue } from "../formats/index.ts";

/** JSON with two blanks a level, byte for byte as Hugging Face's `tokenizers` writes it. */
export function jsonText(node: JsonNode, indent: string = ""): string {
  const inner = `${indent}  `;
  if (Array.isArray(node)) {
    if (node.length === 0) return "[]";
    return `[\n${node.map((item) => inner + jsonText(item, inner)).join(",\n")}\n${indent}]`;
  }
  if (node instanceof Map) {
    if (node.size === 0) return "{}";
    const items = [...node].map(([key, item]) => `${inner}${JSON.stringify(key)}: ${jsonText(item, inner)}`);
    return `{\n${items.join(",\n")}\n${indent}}`;
  }
  return JSON.stringify(node);
}

/** Maps as objects without a prototype, so that a token `__proto__` is a key as any other. */
export function toPlain(node: JsonNode): JsonValue {
  if (Array.isArray(node)) return node.map(toPlain);
  if (!(node instanceof Map)) return node;
  const plain = Object.create(null) as { [key: string]: JsonValue };
  for (const [key, item] of node) plain[key] = toPlain(item);
  return plain;
}

/** The reverse: objects as Maps. */
export function fromPlain(value: JsonValue): JsonNode {
  if (Array.isArray(value)) return value.map(fromPlain);
  if (value === null || typeof value !== "object") return value;
  return new Map(Object.entries(value).map(([key, item]) => [key, fromPlain(item)]));
}
