// Weights of Hugging Face files by this package's names, and back: one table of names per family of models.
import { ArgumentError, FormatError, formatType, sameShape, type HostArray } from "../../engine/core/index.ts";
import { tensor, type Tensor } from "../../engine/tensor/index.ts";
import type { Module, NamedTensors } from "../../learn/nn/index.ts";

/** Arrays by the names a file gives them. */
export type FileArrays = ReadonlyMap<string, HostArray>;

/** One kind of weight: its name in files and its path here, `*` the number of a layer. */
export interface NameRow {
  readonly file: string;
  readonly path: string;
  /** Files hold [out, in] as `nn.Linear` does, kernels here are [in, out]. */
  readonly transposed?: boolean;
}

/** What a family's files hold. */
export interface NameTable {
  readonly rows: readonly NameRow[];
  /** What some files put before every name. */
  readonly prefix?: string;
  /** File names of second copies of a weight, by the row they repeat: written once, and checked where a file has both. */
  readonly copies?: { readonly [file: string]: string };
  /** File names of constants that are no weights (causal masks of older versions). */
  readonly constants?: readonly string[];
}

/** The rows of a projection, `….weight` ↔ `….kernel` and the bias; files hold its weight as [in, out] or [out, in]. */
export function projectionRows(file: string, path: string, layout: "inOut" | "outIn"): NameRow[] {
  return [
    { file: `${file}.weight`, path: `${path}.kernel`, transposed: layout === "outIn" },
    { file: `${file}.bias`, path: `${path}.bias` },
  ];
}

/**
 * Gives a model the weights of a file. float16 and bfloat16 become float32 exactly.
 * Throws FormatError with the lists where weights are missing or unexpected, have another shape, or where two copies
 * of one tied weight differ.
 *
 * @example
 * const lm = createModel(presets["shakespeare-tiny"]!).init(0, { dtype: "int32", shape: [1, 1] });
 * const arrays = fileArrays(lm.tensors(), gpt2Names);
 * loadWeights(createModel(lm.configJson), arrays, gpt2Names).count() === lm.count(); // true
 */
export function loadWeights<M extends Module<never, unknown>>(model: M, arrays: FileArrays, table: NameTable): M {
  model.trace([{ dtype: "int32", shape: [1, 1] }]); // declares the parameters, draws no numbers
  const own = new Map(model.parameters().map(({ path, parameter }) => [path, parameter]));
  const values: { [path: string]: Tensor } = {};
  const unexpected: string[] = [];
  for (const [name, array] of arrays) {
    const bare = withoutPrefix(name, table);
    if (matchAny(table.constants ?? [], bare)) continue;
    const row = findRow(table.rows, "file", bare);
    const path = row === undefined ? "" : rename(bare, row.file, row.path);
    const parameter = own.get(path);
    if (parameter === undefined) {
      const first = table.copies?.[bare];
      if (first !== undefined) checkCopy(name, array, original(arrays, first, table));
      else unexpected.push(name);
      continue;
    }
    if (path in values) throw new FormatError(name, "duplicate-weight", `\`${path}\` is in the file twice`);
    const transposed = row?.transposed === true;
    const shape = transposed ? parameter.shape.toReversed() : parameter.shape;
    if (!sameShape(array.shape, shape)) {
      throw new FormatError(name, "weight-shape", `expected [${shape.join(",")}]: received ${formatType(array)}`, {
        hint: "is the config.json that of these weights?",
      });
    }
    const value = tensor(array, { dtype: parameter.dtype });
    values[path] = transposed ? value.transpose() : value;
  }
  const missing = [...own.keys()].filter((path) => !(path in values)).map((path) => fileName(path, table));
  if (missing.length > 0 || unexpected.length > 0) {
    throw new FormatError(
      model.constructor.name,
      "weight-names",
      `the weights do not match: missing [${missing.join(", ")}], unexpected [${unexpected.join(", ")}]`,
      { hint: "is the config.json that of these weights?" },
    );
  }
  model.load(values);
  return model;
}

/** A model's values, or its gradients, as a file of the family holds them: its names, its layout, tied weights once. */
export function fileArrays(values: NamedTensors, table: NameTable): Map<string, HostArray> {
  return new Map(
    Object.entries(values).map(([path, value]) => {
      const row = rowOf(path, table);
      const laidOut = row.transposed === true ? value.transpose() : value;
      return [rename(path, row.path, row.file), laidOut.host()];
    }),
  );
}

function rowOf(path: string, table: NameTable): NameRow {
  const row = findRow(table.rows, "path", path);
  if (row === undefined) throw new ArgumentError("weights", `files of this family have no name for \`${path}\``);
  return row;
}

function fileName(path: string, table: NameTable): string {
  const { path: pattern, file } = rowOf(path, table);
  return rename(path, pattern, file);
}

function withoutPrefix(name: string, { prefix = "" }: NameTable): string {
  return name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

function original(arrays: FileArrays, name: string, { prefix = "" }: NameTable): HostArray | undefined {
  return arrays.get(name) ?? arrays.get(prefix + name);
}

function checkCopy(name: string, copy: HostArray, first: HostArray | undefined): void {
  if (first?.equals(copy) === true) return;
  throw new FormatError(name, "tied-weights", "config.json ties this weight to the embedding, but the file's differ", {
    hint: 'set "tie_word_embeddings": false if both are meant',
  });
}

// ── patterns ─────────────────────────────────────────────────────────────────

function findRow(rows: readonly NameRow[], side: "file" | "path", name: string): NameRow | undefined {
  return rows.find((row) => match(row[side], name) !== undefined);
}

function matchAny(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => match(pattern, name) !== undefined);
}

/** The numbers a name has where its pattern has `*`, undefined where it does not fit. */
function match(pattern: string, name: string): readonly string[] | undefined {
  const [head, ...rest] = pattern.split("*") as [string, ...string[]];
  if (!name.startsWith(head)) return undefined;
  const numbers: string[] = [];
  let at = head.length;
  for (const part of rest) {
    const digits = /^(0|[1-9]\d*)/.exec(name.slice(at))?.[0];
    if (digits === undefined || !name.startsWith(part, at + digits.length)) return undefined;
    numbers.push(digits);
    at += digits.length + part.length;
  }
  return at === name.length ? numbers : undefined;
}

function rename(name: string, from: string, to: string): string {
  const numbers = [...match(from, name)!];
  return to.replaceAll("*", () => numbers.shift()!);
}
