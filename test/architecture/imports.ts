// Reads the imports of source files and holds them against the layer table.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import type { Layer } from "../../layers.ts";

/** The repository's root folder. */
export const root: string = fileURLToPath(new URL("../../", import.meta.url));

/** One relative import of a file. `target` is a path under src/. */
export interface Import {
  readonly target: string;
  /** Erased by the compiler: it makes no cycle at run time. */
  readonly typeOnly: boolean;
}

/** Paths of a folder's files, relative to it, with `/` between names; an absent folder has none. */
export function filesOf(folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length).replaceAll("\\", "/").replace(/^\//, ""))
    .sort();
}

/** The relative imports in the text of `file` (a path under src/): static, re-exports and dynamic ones. */
export function importsOf(file: string, text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean): void => {
    if (specifier.startsWith(".")) found.push({ target: posix.join(dirname(file), specifier), typeOnly });
  };
  const statement = /^\s*(?:import|export)\s+(type\s+)?((?:[\w*\s{},$]|\bas\b)*?)\s*from\s*"([^"]+)"/gm;
  for (const [, type, names, specifier] of code.matchAll(statement)) {
    // `import { type A, type B }` is erased too.
    const list = /^\{([^}]*)\}$/.exec(names!.trim())?.[1]?.split(",");
    const named = list?.map((name) => name.trim()).filter((name) => name !== "");
    add(specifier!, type !== undefined || (named?.every((name) => name.startsWith("type ")) ?? false));
  }
  for (const [, specifier] of code.matchAll(/^\s*import\s*"([^"]+)"/gm)) add(specifier!, false);
  for (const [, specifier] of code.matchAll(/\bimport\(\s*"([^"]+)"/g)) add(specifier!, false);
  return found;
}

/** The layer a path under src/ belongs to: the innermost, as `data` holds the folders of other rooms. */
export function layerOf(layers: readonly Layer[], path: string): Layer | undefined {
  const around = layers.filter(({ folder }) => path.startsWith(`${folder}/`));
  return around.sort((a, b) => b.folder.length - a.folder.length)[0];
}

/** What is wrong with the imports of one file, a sentence each. The package root `index.ts` may import every exported layer. */
export function faultsOf(layers: readonly Layer[], file: string, imports: readonly Import[]): string[] {
  const own = layerOf(layers, file);
  return imports.flatMap(({ target, typeOnly }) => {
    const other = layerOf(layers, target);
    // The command line uses the package as its users do.
    if (target === "index.ts" && own?.internal === true) return [];
    if (other === undefined) {
      return own === undefined ? [] : [`${file}: imports ${target}, which is in no layer of layers.ts`];
    }
    if (own === other) return [];
    if (own !== undefined) {
      const allowed = own.imports.includes(other.name) || (typeOnly && (own.types ?? []).includes(other.name));
      if (!allowed) {
        const may = own.imports.length === 0 ? "nothing" : own.imports.join(" ");
        return [`${file}: layer "${own.name}" may not import "${other.name}" (${target}). It may import: ${may}.`];
      }
    } else if (other.internal === true) {
      return [`${file}: the package root may not import "${other.name}" (${target})`];
    }
    return target.endsWith("/index.ts")
      ? []
      : [`${file}: imports ${target} past the door of its room; import ${other.folder}/index.ts`];
  });
}

/** Import cycles among files, each as the list of its files. Imports of types alone are erased and make none. */
export function cyclesOf(graph: ReadonlyMap<string, readonly Import[]>): string[][] {
  const cycles: string[][] = [];
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      cycles.push([...path.slice(path.indexOf(file)), file]);
      return;
    }
    state.set(file, "open");
    path.push(file);
    for (const { target, typeOnly } of graph.get(file) ?? []) if (!typeOnly && graph.has(target)) visit(target);
    path.pop();
    state.set(file, "done");
  };
  for (const file of graph.keys()) visit(file);
  return cycles;
}

/** Text of a file of the repository. */
export function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}
