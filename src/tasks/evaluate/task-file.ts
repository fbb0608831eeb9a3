// Tasks in JSON Lines: multiple choice and cloze, read row by row; a wrong row is an error with its file and line.
import { DataError, isPlainObject } from "../../engine/core/index.ts";
import { readJsonl, type JsonValue } from "../../data/formats/index.ts";

/** Which of several texts follows a context. */
export interface ChoiceItem {
  readonly kind: "choice";
  /** `file:line`. */
  readonly where: string;
  readonly context: string;
  readonly choices: readonly string[];
  /** Place of the right one, from 0. */
  readonly answer: number;
}

/** The text that follows a context. */
export interface ClozeItem {
  readonly kind: "cloze";
  readonly where: string;
  readonly context: string;
  readonly target: string;
}

export type TaskItem = ChoiceItem | ClozeItem;

const FIELDS = {
  choice: ["context", "choices", "answer"],
  cloze: ["context", "target"],
} as const;
// Fields that say where a row is from.
const LABELS = ["id", "meta"];

/**
 * Reads a file of tasks: rows `{ context, choices, answer }` or `{ context, target }`, one kind a file. Rows may have an
 * `id` and a `meta`. Texts are taken as they stand: a blank between context and choice is part of one of them.
 * Errors: DataError with file and line for a row that is none of these, and for a file without rows.
 */
export async function* readTasks(path: string): AsyncGenerator<TaskItem> {
  let first: TaskItem | undefined;
  for await (const { line, value } of readJsonl(path)) {
    const item = taskItem(value, `${path}:${line}`);
    first ??= item;
    if (item.kind !== first.kind) {
      throw new DataError(item.where, `is a ${item.kind} row, and the file began with ${first.kind} rows`, {
        hint: "put tasks of another kind into a file of their own",
      });
    }
    yield item;
  }
  if (first === undefined) throw new DataError(path, "has no rows");
}

function taskItem(row: JsonValue, where: string): TaskItem {
  if (!isPlainObject(row)) throw new DataError(where, `a row is an object: received ${shown(row)}`);
  const kind = "choices" in row ? "choice" : "cloze";
  const unknown = Object.keys(row).find((name) => ![...FIELDS[kind], ...LABELS].includes(name));
  if (unknown !== undefined) {
    throw new DataError(where, `has a field ${JSON.stringify(unknown)} that a ${kind} row does not have`, {
      hint: `the fields are ${FIELDS[kind].join(", ")}, and ${LABELS.join(" and ")} for your own notes`,
    });
  }
  const text = (name: string, value: unknown): string => {
    if (typeof value === "string" && (value !== "" || name === "context")) return value;
    throw new DataError(where, `\`${name}\` is a text: received ${shown(value)}`);
  };
  const context = text("context", row["context"]);
  if (kind === "cloze") return { kind, where, context, target: text("target", row["target"]) };
  const { choices, answer } = row;
  if (!Array.isArray(choices) || choices.length < 2)
    throw new DataError(where, `\`choices\` is a list of two or more texts: received ${shown(choices)}`);
  const texts = choices.map((choice, i) => text(`choices[${i}]`, choice));
  if (typeof answer !== "number" || !Number.isInteger(answer) || answer < 0 || answer >= texts.length)
    throw new DataError(where, `\`answer\` is a place from 0 to ${texts.length - 1}: received ${shown(answer)}`);
  return { kind, where, context, choices: texts, answer };
}

function shown(value: unknown): string {
  const text = value === undefined ? "nothing" : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
