// The text form of programs: readable, deterministic, numbered from zero.
import { formatType, HostArray } from "../core/index.ts";
import type { Attr } from "./op.ts";
import type { Program } from "./program.ts";
import type { Value } from "./value.ts";

const MAX_CONSTANT = 8;

/** Prints a program; values are renumbered in order of appearance, so equal programs print equally. */
export function printProgram(program: Program, indent: string = ""): string {
  const names = new Map<Value, string>();
  const name = (value: Value): string => {
    let found = names.get(value);
    if (found === undefined) names.set(value, (found = `%${names.size}`));
    return found;
  };
  const typed = (value: Value): string => `${name(value)}: ${formatType(value)}`;
  const lines = [`${indent}program(${program.inputs.map(typed).join(", ")}) {`];
  for (const { op, inputs, attrs, outputs } of program.equations) {
    const args = [...inputs.map(name), ...printAttrs(attrs, indent + "  ")];
    lines.push(`${indent}  ${outputs.map(typed).join(", ")} = ${op.name} ${args.join(" ")}`.trimEnd());
  }
  lines.push(`${indent}  return ${program.outputs.map(name).join(", ")}`, `${indent}}`);
  return lines.join("\n");
}

function printAttrs(attrs: object, indent: string): string[] {
  return Object.entries(attrs as { [name: string]: Attr })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${printAttr(value, indent)}`);
}

function printAttr(value: Attr, indent: string): string {
  if (isProgram(value)) return `\n${printProgram(value, indent + "  ")}`;
  if (value instanceof HostArray) {
    const numbers = value.size <= MAX_CONSTANT ? value.toFlat().join(" ") : `${value.toFlat().slice(0, 3).join(" ")} …`;
    return `${formatType(value)}{${numbers}}`;
  }
  if (Array.isArray(value)) return `[${value.map((item) => printAttr(item as Attr, indent)).join(",")}]`;
  if (typeof value === "object" && value !== null) return `{${printAttrs(value, indent).join(" ")}}`;
  return Object.is(value, -0) ? "-0" : String(value);
}

// By its parts, not its class: the class prints itself through this file.
function isProgram(value: Attr): value is Program {
  return typeof value === "object" && value !== null && "equations" in value;
}
