// Paths of documents: files, folders and patterns become a list of files in one fixed order.
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { DataError, FormatError } from "../../engine/core/index.ts";

/** The kinds of files documents are read from. */
export type DocumentFormat = "text" | "jsonl" | "parquet";

/** Files in the order they are read, and what a folder or pattern held besides. */
export interface ExpandedPaths {
  readonly files: readonly string[];
  /** Files that were left alone: other extensions, hidden files, links to folders. Nobody reads them silently. */
  readonly ignored: readonly string[];
}

const FORMATS: { readonly [extension: string]: DocumentFormat } = {
  txt: "text",
  text: "text",
  md: "text",
  jsonl: "jsonl",
  ndjson: "jsonl",
  parquet: "parquet",
};

/** The format an extension stands for (`.gz` aside); undefined where it says nothing. */
export function formatOf(path: string): DocumentFormat | undefined {
  const extension = /\.([^./\\]+)$/.exec(path.replace(/\.gz$/i, ""))?.[1];
  return extension === undefined ? undefined : FORMATS[extension.toLowerCase()];
}

/**
 * Files of a list of paths: a file as it is; a folder as all files in it whose extension is known (all files, where
 * `anyExtension`), in the order of their relative paths by code units; a pattern (`*`, `**`, `?`, `[a-z]`, `{a,b}`) as the
 * files it matches, in the same order. A file that is named twice is read once, at its first place.
 *
 * Errors: FormatError `unreadable` for a path that is not there, DataError where a folder or pattern gives no file.
 */
export async function expandPaths(
  paths: readonly string[],
  options: { readonly anyExtension?: boolean } = {},
): Promise<ExpandedPaths> {
  const files = new Set<string>();
  const ignored = new Set<string>();
  for (const path of paths) {
    const found = await expandOne(path, options.anyExtension ?? false);
    if (found.files.length === 0) {
      throw new DataError(path, "no file of a known kind is here", {
        hint: "kinds: .txt .md .jsonl .ndjson .parquet, each also as .gz; name a format to read other files",
      });
    }
    for (const file of found.files) files.add(file);
    for (const file of found.ignored) ignored.add(file);
  }
  return { files: [...files], ignored: [...ignored].filter((file) => !files.has(file)) };
}

async function expandOne(path: string, anyExtension: boolean): Promise<ExpandedPaths> {
  const kind = await kindOf(path);
  if (kind === "file") return { files: [path], ignored: [] };
  const known = (file: string): boolean => anyExtension || formatOf(file) !== undefined;
  if (kind === "folder") return walk(path, known);
  if (!/[*?[{]/.test(path)) {
    throw new FormatError(path, "unreadable", "there is no such file or folder");
  }
  const parts = path.split("/");
  const magic = parts.findIndex((part) => /[*?[{]/.test(part));
  const base = parts.slice(0, magic).join("/") || (path.startsWith("/") ? "/" : ".");
  if ((await kindOf(base)) !== "folder") throw new FormatError(base, "unreadable", "there is no such folder");
  const pattern = globPattern(parts.slice(magic).join("/"));
  const all = await walk(base, () => true);
  const prefix = base === "." || base === "/" ? base.length - (base === "." ? 1 : 0) : base.length + 1;
  return { files: all.files.filter((file) => pattern.test(file.slice(prefix))), ignored: [] };
}

/** The regular expression of a glob pattern, anchored at both ends. */
export function globPattern(glob: string): RegExp {
  const source = glob.replace(/\*\*\/|\*\*|\*|\?|\[!?[^\]]*\]|\{[^{}]*\}|[^*?[{]+|[[{]/g, (token: string): string => {
    if (token === "**/") return "(?:[^/]+/)*";
    if (token === "**") return ".*";
    if (token === "*") return "[^/]*";
    if (token === "?") return "[^/]";
    if (/^\[.+\]$/s.test(token))
      return `[${token
        .slice(1, -1)
        .replace(/^!/, "^")
        .replace(/[\\\]]/g, "\\$&")}]`;
    if (/^\{.+\}$/s.test(token)) return `(?:${token.slice(1, -1).split(",").map(escaped).join("|")})`;
    return escaped(token);
  });
  return new RegExp(`^${source}$`, "su");
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

async function walk(folder: string, known: (file: string) => boolean): Promise<ExpandedPaths> {
  const files: string[] = [];
  const ignored: string[] = [];
  const visit = async (at: string): Promise<void> => {
    for (const entry of await readdir(at, { withFileTypes: true })) {
      const path = at === "." ? entry.name : join(at, entry.name);
      // A link may lead to a file; links to folders may lead in circles and are not followed.
      const kind = entry.isSymbolicLink() ? await kindOf(path) : entry.isDirectory() ? "folder" : "file";
      if (kind === "folder" && !entry.isSymbolicLink() && !entry.name.startsWith(".")) await visit(path);
      else if (kind === "file" && !entry.name.startsWith(".") && known(path)) files.push(path);
      else ignored.push(path);
    }
  };
  await visit(folder);
  return { files: files.sort(byCodeUnits), ignored: ignored.sort(byCodeUnits) };
}

// The order of a language would differ from machine to machine.
function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  return stat(path).then(
    (found) => (found.isDirectory() ? "folder" : "file"),
    () => undefined,
  );
}
