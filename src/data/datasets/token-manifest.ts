// manifest.json of a folder of token shards: written last, so that a folder that has one is whole.
import { join } from "node:path";
import { FormatError } from "../../engine/core/index.ts";
import { parseJson, readBytes, writeFileAtomic, type JsonValue } from "../formats/index.ts";
import type { ShardFile } from "./token-shard.ts";

/** Name of the file. */
export const MANIFEST = "manifest.json";

/** The shards of one side of the split. */
export interface TokenSplit {
  readonly tokens: number;
  readonly documents: number;
  readonly files: readonly ShardFile[];
}

/** A token that is put before or behind each document. */
export interface MarkToken {
  readonly token: string;
  readonly id: number;
}

/** What a folder of token shards says of itself. */
export interface TokenManifest {
  readonly format: "chainrule-tokens";
  readonly version: 1;
  readonly tokenizer: {
    /** Name of the file beside the manifest. */
    readonly file: string;
    readonly sha256: string;
    readonly vocabSize: number;
  };
  /** Put before each document, and behind it; null: nothing. */
  readonly begin: MarkToken | null;
  readonly end: MarkToken | null;
  readonly splits: { readonly [name: string]: TokenSplit };
  /** What was read, removed and why, with samples; options of the preparation. */
  readonly about: { readonly [key: string]: JsonValue };
}

/** Writes the manifest, atomically and durably. */
export async function writeManifest(folder: string, manifest: TokenManifest): Promise<void> {
  await writeFileAtomic(join(folder, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/**
 * Reads and checks a manifest.
 *
 * Errors: `FormatError` with code `no-manifest` where there is none (the preparation did not end), `bad-manifest`, and
 * those of `parseJson`.
 */
export async function readManifest(folder: string): Promise<TokenManifest> {
  const path = join(folder, MANIFEST);
  const bytes = await readBytes(path).catch((cause: unknown) => {
    throw new FormatError(folder, "no-manifest", "this is no folder of token shards, or its preparation did not end", {
      cause,
      hint: "run `chainrule data prepare` (again)",
    });
  });
  const value = parseJson(new TextDecoder().decode(bytes), { where: path });
  const bad = (what: string): FormatError => new FormatError(path, "bad-manifest", what);
  const object = (x: JsonValue | undefined, name: string): { [key: string]: JsonValue } => {
    if (typeof x !== "object" || x === null || Array.isArray(x)) throw bad(`\`${name}\` is an object`);
    return x;
  };
  const count = (x: JsonValue | undefined, name: string): number => {
    if (!Number.isSafeInteger(x) || (x as number) < 0) throw bad(`\`${name}\` is a whole number ≥ 0`);
    return x as number;
  };
  const text = (x: JsonValue | undefined, name: string, like: RegExp): string => {
    if (typeof x !== "string" || !like.test(x)) throw bad(`\`${name}\` is not what it should be`);
    return x;
  };
  const top = object(value, "manifest");
  if (top["format"] !== "chainrule-tokens") throw bad("`format` is not chainrule-tokens");
  if (top["version"] !== 1) throw bad(`version 1 is known: received ${String(top["version"])}`);
  const tokenizer = object(top["tokenizer"], "tokenizer");
  // A name leads to nothing outside the folder.
  const NAME = /^[A-Za-z0-9][\w.-]*$/;
  const HASH = /^[0-9a-f]{64}$/;
  const mark = (x: JsonValue | undefined, name: string): MarkToken | null => {
    if (x === null || x === undefined) return null;
    const { token, id } = object(x, name);
    return { token: text(token, `${name}.token`, /^/), id: count(id, `${name}.id`) };
  };
  const file = (x: JsonValue): ShardFile => {
    const { name, bytes: size, sha256, tokens, documents } = object(x, "file");
    return {
      name: text(name, "name", NAME),
      bytes: count(size, "bytes"),
      sha256: text(sha256, "sha256", HASH),
      tokens: count(tokens, "tokens"),
      documents: count(documents, "documents"),
    };
  };
  const splits: [string, TokenSplit][] = Object.entries(object(top["splits"], "splits")).map(([name, part]) => {
    const { tokens, documents, files } = object(part, name);
    if (!Array.isArray(files)) throw bad("`files` is a list");
    const split = { tokens: count(tokens, "tokens"), documents: count(documents, "documents"), files: files.map(file) };
    for (const which of ["tokens", "documents"] as const) {
      if (split.files.reduce((sum, one) => sum + one[which], 0) !== split[which])
        throw bad(`the ${which} of the files of \`${name}\` are not ${split[which]} in all`);
    }
    return [name, split];
  });
  return {
    format: "chainrule-tokens",
    version: 1,
    tokenizer: {
      file: text(tokenizer["file"], "tokenizer.file", NAME),
      sha256: text(tokenizer["sha256"], "tokenizer.sha256", HASH),
      vocabSize: count(tokenizer["vocabSize"], "tokenizer.vocabSize"),
    },
    begin: mark(top["begin"], "begin"),
    end: mark(top["end"], "end"),
    splits: Object.fromEntries(splits),
    about: object(top["about"] ?? {}, "about"),
  };
}
