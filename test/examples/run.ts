// Runs one program of the documentation on the sources, and holds the results it states in comments against the real ones.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { transformWithOxc } from "vite";
import { root } from "../architecture/imports.ts";
import { layers } from "../../layers.ts";
import type { HostArray, Sequential } from "../../src/index.ts";
import type { Example } from "./extract.ts";

type Names = Readonly<Record<string, unknown>>;

// A function made of text, with `await` allowed in it.
const AsyncFunction = (async () => {}).constructor as new (...text: string[]) => (...args: unknown[]) => Promise<void>;

/**
 * Runs an example. It may import `chainrule`, `chainrule/<room>` and Node's own modules; besides, it sees what the package
 * root exports, and in a docstring what the rooms its own room imports, its own room and its own file export, and
 * `model`, `x` and `y`: a small compiled classifier with its data.
 * A comment behind a statement that is a literal (`x.sum().item(); // 6`) states the value of that statement.
 */
export async function runExample(example: Example): Promise<void> {
  const scope = await namesFor(example.path);
  const names = Object.keys(scope).filter((name) => new RegExp(`\\b${name}\\b`).test(example.code));
  // An export makes a module of the text, in which `await` may stand anywhere.
  const text = `${checked(imported(example.code))}\nexport {};`;
  const { code } = await transformWithOxc(text, "example.ts", { sourcemap: false });
  const body = `"use strict"; {\n${code.replace(/^export \{\s*\};?$/m, "")}\n}`;
  const run = new AsyncFunction("__import", "__expect", ...names, body);
  const load = (specifier: string): Promise<unknown> => import(/* @vite-ignore */ specifier);
  await run(load, expectValue, ...names.map((name) => scope[name]));
}

async function namesFor(path: string): Promise<Names> {
  const load = async (file: string): Promise<Names> => (await import(/* @vite-ignore */ join(root, file))) as Names;
  const scope = { ...(await load("src/index.ts")) };
  if (!path.startsWith("src/")) return scope;
  const layer = layers.find(({ folder }) => path.startsWith(`src/${folder}/`));
  // Internal rooms (the command line) have no barrel.
  if (layer === undefined || layer.internal === true) return Object.assign(scope, await load(path));
  const rooms = [...layers.filter(({ name }) => layer.imports.includes(name)), layer];
  for (const { folder } of rooms) {
    if (existsSync(join(root, `src/${folder}/index.ts`))) Object.assign(scope, await load(`src/${folder}/index.ts`));
  }
  const { model, x, y } = await classifier();
  return Object.assign(scope, await load(path), { model, x, y });
}

/** What docstrings take for granted: twelve samples of four numbers in three classes, and a model for them. */
async function classifier(): Promise<{ model: Sequential; x: HostArray; y: HostArray }> {
  const { dense, HostArray, Sequential } = await import("../../src/index.ts");
  const model = new Sequential([
    dense(8, { activation: "relu", inputShape: [4] }),
    dense(3, { activation: "softmax" }),
  ]);
  model.compile({ optimizer: "adam", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"] });
  model.init(0, { dtype: "float32", shape: [1, 4] });
  const x = HostArray.from(Array.from({ length: 12 }, (_, i) => [0, 1, 2, 3].map((j) => Math.sin(i * 4 + j))));
  const y = HostArray.from(
    Array.from({ length: 12 }, (_, i) => i % 3),
    "int32",
  );
  return { model, x, y };
}

// Import statements become calls, as the program runs inside a function.
function imported(code: string): string {
  return code
    .replace(/^import type [^;]*;/gm, "")
    .replace(/^import (?:\* as (\w+)|(\w+)|(\{[^}]*\})) from ("[^"]+");/gm, (_, all, one, list, from) => {
      if (all !== undefined) return `const ${all} = await __import(${from});`;
      if (one !== undefined) return `const { default: ${one} } = await __import(${from});`;
      return `const ${String(list)
        .replaceAll(/\btype \w+,?/g, "")
        .replaceAll(" as ", ": ")} = await __import(${from});`;
    })
    .replace(/^export /gm, "");
}

// Statements with a literal in the comment behind them become checks.
function checked(code: string): string {
  const out: string[] = [];
  let statement = "";
  for (const line of code.split("\n")) {
    const [, text, comment] = /^(.*?)\s*(?:\/\/\s*(.*))?$/.exec(line.replace(/("(?:[^"\\]|\\.)*")/g, hide))!;
    statement += `${statement === "" ? "" : "\n"}${text!.replace(HIDDEN, show)}`;
    if (!/[;}]\s*$/.test(text!) || !balanced(statement)) continue;
    const stated = comment?.replace(HIDDEN, show).replace(/^(=>|→)\s*/, "");
    out.push(stated !== undefined && isLiteral(stated) ? check(statement, stated) : statement);
    statement = "";
  }
  return [...out, statement].join("\n");
}

function check(statement: string, stated: string): string {
  const declared = /^\s*(?:const|let)\s+(\w+)(?::[^=]*)?\s=/.exec(statement);
  if (declared !== null) return `${statement}\n__expect(${declared[1]}, (${stated}));`;
  return `__expect(await (${statement.trim().replace(/;$/, "")}), (${stated}));`;
}

// Strings may hold `//`; they are taken out while a line is split.
const HIDDEN = /\uE000([0-9a-f]*)\uE001/g;
const hide = (text: string): string => `\uE000${Buffer.from(text).toString("hex")}\uE001`;
const show = (_: string, hex: string): string => Buffer.from(hex, "hex").toString();

function balanced(text: string): boolean {
  let depth = 0;
  for (const c of text) depth += "([{".includes(c) ? 1 : ")]}".includes(c) ? -1 : 0;
  return depth === 0;
}

function isLiteral(text: string): boolean {
  if (!/^([-\d[{"']|true\b|false\b|null\b|undefined\b|NaN\b|Infinity\b)/.test(text)) return false;
  try {
    // oxlint-disable-next-line typescript/no-implied-eval -- the text is our own documentation
    new Function(`"use strict"; return (${text});`)();
    return true;
  } catch {
    return false; // prose
  }
}

/** Throws unless the value is what the comment says, numbers to six digits. */
function expectValue(actual: unknown, stated: unknown): void {
  if (!agrees(actual, stated)) {
    throw new Error(`the example states ${JSON.stringify(stated)}: received ${JSON.stringify(plain(actual))}`);
  }
}

function plain(value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Array.from(value as unknown as Iterable<unknown>) : value;
}

function agrees(actual: unknown, stated: unknown): boolean {
  if (typeof actual === "number" && typeof stated === "number") {
    return Object.is(actual, stated) || Math.abs(actual - stated) <= 1e-6 * Math.max(1, Math.abs(stated));
  }
  const list = plain(actual);
  if (Array.isArray(list) && Array.isArray(stated)) {
    return list.length === stated.length && list.every((item, i) => agrees(item, stated[i]));
  }
  if (typeof list === "object" && list !== null && typeof stated === "object" && stated !== null) {
    const entries = Object.entries(stated);
    return (
      entries.length === Object.keys(list).length && entries.every(([key, item]) => agrees((list as Names)[key], item))
    );
  }
  return list === stated;
}
