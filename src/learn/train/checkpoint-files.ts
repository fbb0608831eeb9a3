// The files of a checkpoint: a folder that is there whole or not at all, with a manifest of hashes, and its retention.
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CheckpointError, isPlainObject } from "../../engine/core/index.ts";
import { parseJson, readBytes, sha256, syncFolder, type JsonValue } from "../../data/index.ts";

/** What a manifest says. */
export interface Manifest {
  readonly format: "chainrule-checkpoint";
  readonly version: 1;
  readonly step: number;
  readonly files: { readonly [name: string]: { readonly bytes: number; readonly sha256: string } };
  /** Values known when it was written, by which the best one is found. */
  readonly values: { readonly [name: string]: number };
  /** SHA-256 of all the above as compact JSON, so that damage to the manifest shows too. */
  readonly sha256: string;
}

/** Files of a checkpoint, read and verified. */
export interface VerifiedFiles {
  readonly manifest: Manifest;
  readonly path: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

const FORMAT = "chainrule-checkpoint";
const MANIFEST = "manifest.json";
const STEP = /^(0|[1-9]\d{0,15})$/;

/**
 * Writes a checkpoint into `folder/<step>`, with a manifest of its files. A process killed at any moment leaves the old
 * checkpoints, or the old ones and the new one.
 */
export async function writeCheckpoint(
  folder: string,
  step: number,
  {
    files,
    values,
  }: { readonly files: ReadonlyMap<string, Uint8Array>; readonly values: { readonly [name: string]: number } },
): Promise<string> {
  const entries = [...files].map(
    ([name, content]) => [name, { bytes: content.length, sha256: sha256(content) }] as const,
  );
  const text = encodeManifest({ format: FORMAT, version: 1, step, files: Object.fromEntries(entries), values });
  const target = join(folder, String(step));
  await writeFolder(target, new Map([...files, [MANIFEST, text]]));
  return target;
}

/**
 * Writes a folder of files as one: a temporary folder beside it → fsync of each file and of the folder → rename → fsync of
 * the parent. A folder of that name is replaced.
 */
export async function writeFolder(target: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const [parent, name] = [dirname(target), basename(target)];
  await mkdir(parent, { recursive: true });
  const temporary = join(parent, hiddenName(name, "tmp"));
  await mkdir(temporary);
  try {
    for (const [file, content] of files) await writeDurably(join(temporary, file), content);
    await syncFolder(temporary);
    // The old one steps aside; `recoverCheckpoints` brings it back if the process is killed before the new one stands there.
    const aside = join(parent, hiddenName(name, "old"));
    const replaced = await renameIfThere(target, aside);
    await rename(temporary, target);
    await syncFolder(parent);
    if (replaced) await rm(aside, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Reads a checkpoint and checks every file against the manifest. CheckpointError says what is wrong. */
export async function readCheckpoint(folder: string, step: number): Promise<VerifiedFiles> {
  const path = join(folder, String(step));
  const manifest = await readManifest(path);
  const present = (await readdir(path)).filter((name) => name !== MANIFEST);
  const unknown = present.filter((name) => !Object.hasOwn(manifest.files, name));
  if (unknown.length > 0) throw damaged(path, `${unknown.join(", ")} does not belong to it`);
  const files = new Map<string, Uint8Array>();
  for (const [name, expected] of Object.entries(manifest.files)) {
    if (!present.includes(name)) throw damaged(path, `${name} is missing`);
    const content = await readBytes(join(path, name));
    if (content.length !== expected.bytes)
      throw damaged(path, `${name} has ${content.length} bytes, expected ${expected.bytes}`);
    if (sha256(content) !== expected.sha256)
      throw damaged(path, `${name} was changed: its hash is not that of the manifest`);
    files.set(name, content);
  }
  return { manifest, path, files };
}

function encodeManifest(content: Omit<Manifest, "sha256">): Uint8Array {
  const manifest: Manifest = { ...content, sha256: sha256(new TextEncoder().encode(JSON.stringify(content))) };
  return new TextEncoder().encode(`${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** The manifest alone, checked for form and for its own hash. */
export async function readManifest(path: string): Promise<Manifest> {
  let bytes: Uint8Array;
  let parsed: JsonValue;
  try {
    bytes = await readBytes(join(path, MANIFEST));
    parsed = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes), { where: path });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0]! : String(cause);
    throw damaged(path, `the manifest cannot be read: ${reason}`, cause);
  }
  const given: unknown = parsed;
  if (!isManifest(given)) throw damaged(path, "the manifest is not one of this format");
  for (const [name, entry] of Object.entries(given.files)) {
    const valid = isPlainObject(entry) && Number.isSafeInteger(entry["bytes"]) && typeof entry["sha256"] === "string";
    if (!valid || !/^[A-Za-z0-9_-]+\.[a-z]+$/.test(name))
      throw damaged(path, `the manifest names an impossible file ${JSON.stringify(name)}`);
  }
  const { sha256: _, ...content } = given;
  if (Buffer.compare(encodeManifest(content), bytes) !== 0) throw damaged(path, "the manifest was changed");
  return given;
}

function isManifest(parsed: unknown): parsed is Manifest {
  if (!isPlainObject(parsed) || !isPlainObject(parsed["files"]) || !isPlainObject(parsed["values"])) return false;
  return parsed["format"] === FORMAT && parsed["version"] === 1 && Number.isSafeInteger(parsed["step"]);
}

/** Steps of the checkpoints in a folder, oldest first; whether they are intact is not looked at. */
export async function listCheckpoints(folder: string): Promise<number[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory() && STEP.test(entry.name))
    .map((entry) => Number(entry.name))
    .sort((a, b) => a - b);
}

/** Removes a checkpoint: it disappears at once, its files after that. */
export async function removeCheckpoint(folder: string, step: number): Promise<void> {
  const doomed = join(folder, hiddenName(String(step), "tmp"));
  if (await renameIfThere(join(folder, String(step)), doomed)) await rm(doomed, { recursive: true, force: true });
}

/** Tidies up after killed processes: what stepped aside comes back, what was half done goes. One process at a time may write to a folder. */
export async function recoverCheckpoints(folder: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  for (const name of names) {
    const [, step, kind] = /^\.(\d+)\.[0-9a-f]+\.(tmp|old)$/.exec(name) ?? [];
    if (step === undefined) continue;
    if (kind === "old" && !names.includes(step)) await rename(join(folder, name), join(folder, step));
    else await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

function hiddenName(name: string, kind: "tmp" | "old"): string {
  return `.${name}.${randomBytes(6).toString("hex")}.${kind}`;
}

async function writeDurably(path: string, content: Uint8Array): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

function damaged(path: string, problem: string, cause?: unknown): CheckpointError {
  return new CheckpointError(path, `the checkpoint is damaged: ${problem}`, cause === undefined ? {} : { cause });
}
