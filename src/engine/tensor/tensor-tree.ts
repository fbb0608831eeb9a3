// Trees of Tensors: the arguments and results of traced functions. What is not a Tensor is static: part of the program.
import { ArgumentError, formatType, isPlainObject, join, type Path } from "../core/index.ts";
import { Tensor } from "./tensor.ts";

/** Nested arrays and plain objects of Tensors; numbers, strings, booleans, null and functions ride along unchanged. */
export type TensorTree = Tensor | Static | readonly TensorTree[] | { readonly [key: string]: TensorTree };
type Static = number | string | boolean | null | undefined | ((...args: never[]) => unknown);

/** A tree taken apart. */
export interface FlatTree {
  readonly tensors: readonly Tensor[];
  readonly paths: readonly Path[];
  /** A text equal for trees of equal structure, types and static parts. */
  readonly key: string;
  /** The same tree with other Tensors. */
  readonly rebuild: (tensors: readonly Tensor[]) => unknown;
}

/** Takes a tree apart. Throws ArgumentError for class instances, naming where they are. */
export function flattenTensors(tree: unknown, where: string = "function"): FlatTree {
  const tensors: Tensor[] = [];
  const paths: Path[] = [];
  const key: string[] = [];
  const walk = (node: unknown, path: Path): void => {
    if (node instanceof Tensor) {
      tensors.push(node);
      paths.push(path);
      key.push(formatType(node));
    } else if (Array.isArray(node)) {
      key.push("[");
      node.forEach((child, i) => walk(child, join(path, String(i))));
      key.push("]");
    } else if (isPlainObject(node)) {
      key.push("{");
      for (const name of Object.keys(node)) {
        key.push(JSON.stringify(name));
        walk(node[name], join(path, name));
      }
      key.push("}");
    } else key.push(staticKey(node, path, where));
  };
  walk(tree, "");
  const rebuild = (next: readonly Tensor[]): unknown => {
    let i = 0;
    const copy = (node: unknown): unknown => {
      if (node instanceof Tensor) return next[i++];
      if (Array.isArray(node)) return node.map(copy);
      if (isPlainObject(node))
        return Object.fromEntries(Object.entries(node).map(([name, child]) => [name, copy(child)]));
      return node;
    };
    return copy(tree);
  };
  return { tensors, paths, key: key.join(" "), rebuild };
}

const functions = new WeakMap<object, number>();
let nextFunction = 0;

function staticKey(node: unknown, path: Path, where: string): string {
  if (node === null || ["number", "string", "boolean", "undefined"].includes(typeof node))
    return typeof node === "string" ? JSON.stringify(node) : Object.is(node, -0) ? "-0" : String(node);
  if (typeof node === "function") {
    if (!functions.has(node)) functions.set(node, nextFunction++);
    return `f${functions.get(node)}`;
  }
  const what = (node as object).constructor.name;
  throw new ArgumentError(where, `\`${path}\` is neither a Tensor nor a plain value: received ${what}`, {
    hint: "wrap numbers with tensor(); pass parameters as a plain object",
  });
}
