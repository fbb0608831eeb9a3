// Trees: nested plain objects and arrays of leaves. Parameters, optimizer states and batches are trees.
import { ArgumentError } from "./error.ts";

/** Nested arrays and plain objects with leaves of type `T`. */
export type Tree<T> = T | readonly Tree<T>[] | { readonly [key: string]: Tree<T> };

/** A tree whose root is an object: `{ dense: { kernel, bias } }`. */
export interface Params<T> {
  readonly [key: string]: Tree<T>;
}

/** Where in a tree a leaf is: `blocks.3.kernel`. */
export type Path = string;

/** Leaves in a fixed order (arrays by index, objects by insertion), each with its path. */
export function leaves<T>(tree: Tree<T>, isLeaf: (x: unknown) => x is T): [Path, T][] {
  const out: [Path, T][] = [];
  visit(tree, "", (path, leaf) => out.push([path, leaf]), isLeaf);
  return out;
}

/** A tree of the same structure with each leaf replaced. */
export function mapTree<T, U>(tree: Tree<T>, isLeaf: (x: unknown) => x is T, fn: (leaf: T, path: Path) => U): Tree<U> {
  const walk = (node: unknown, path: Path): Tree<U> => {
    if (isLeaf(node)) return fn(node, path);
    if (Array.isArray(node)) return node.map((child, i) => walk(child, join(path, String(i))));
    if (isPlainObject(node)) {
      const out: { [key: string]: Tree<U> } = {};
      for (const key of Object.keys(node)) define(out, key, walk(node[key], join(path, key)));
      return out;
    }
    throw notATree(node, path);
  };
  return walk(tree, "");
}

/** Same structure, new leaves in the order of `leaves`. */
export function unflatten<T, U>(like: Tree<T>, isLeaf: (x: unknown) => x is T, values: readonly U[]): Tree<U> {
  let next = 0;
  const out = mapTree(like, isLeaf, (_, path) => {
    if (next >= values.length) throw new ArgumentError("unflatten", `no value left for \`${path}\``);
    return values[next++]!;
  });
  if (next !== values.length) throw new ArgumentError("unflatten", `${values.length} values for ${next} leaves`);
  return out;
}

/** A text that is equal for trees of equal structure. */
export function structure(tree: Tree<unknown>, isLeaf: (x: unknown) => boolean): string {
  if (isLeaf(tree)) return "*";
  if (Array.isArray(tree)) return `[${tree.map((child) => structure(child, isLeaf)).join()}]`;
  if (isPlainObject(tree)) {
    return `{${Object.keys(tree)
      .map((key) => `${JSON.stringify(key)}:${structure(tree[key], isLeaf)}`)
      .join()}}`;
  }
  throw notATree(tree, "");
}

export function isPlainObject(x: unknown): x is { [key: string]: unknown } {
  if (typeof x !== "object" || x === null) return false;
  const prototype: unknown = Object.getPrototypeOf(x);
  return prototype === Object.prototype || prototype === null;
}

/** Joins two parts of a path. */
export function join(path: Path, key: string): Path {
  return path === "" ? key : `${path}.${key}`;
}

function visit<T>(node: unknown, path: Path, fn: (path: Path, leaf: T) => void, isLeaf: (x: unknown) => x is T): void {
  if (isLeaf(node)) fn(path, node);
  else if (Array.isArray(node)) node.forEach((child, i) => visit(child, join(path, String(i)), fn, isLeaf));
  else if (isPlainObject(node)) for (const key of Object.keys(node)) visit(node[key], join(path, key), fn, isLeaf);
  else throw notATree(node, path);
}

// A key named `__proto__` must stay a key, not become the prototype.
function define(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, writable: true, configurable: true });
}

function notATree(node: unknown, path: Path): ArgumentError {
  const what = typeof node === "object" && node !== null ? node.constructor.name : String(node);
  return new ArgumentError("tree", `\`${path}\` is neither a leaf nor an array nor a plain object: received ${what}`);
}
