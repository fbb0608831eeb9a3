// Checkpoints: a whole run as files, from which it goes on bit for bit. The newest intact one counts.
import { CheckpointError, isPlainObject, type HostArray } from "../../engine/core/index.ts";
import { decodeSafetensors, encodeSafetensors, parseJson, type JsonValue } from "../../data/index.ts";
import type { Logs, Progress, Snapshot } from "./callback.ts";
import {
  listCheckpoints,
  readCheckpoint,
  readManifest,
  removeCheckpoint,
  recoverCheckpoints,
  writeCheckpoint,
  type VerifiedFiles,
} from "./checkpoint-files.ts";
import { stateArrays, stateFromArrays, type Position, type TrainState } from "./state.ts";
import { join } from "node:path";

/** Which checkpoints stay. */
export interface RetentionOptions {
  /** The newest so many; default 3. */
  readonly keepLast?: number;
  /** Also the newest whose step is a multiple of it: what a guard goes back to. */
  readonly keepEvery?: number;
  /** Also the best by this value (`val_loss`, say). */
  readonly keepBest?: { readonly monitor: string; readonly mode: "min" | "max" };
}

/** A checkpoint that was read. */
export interface LoadedCheckpoint {
  readonly step: number;
  readonly path: string;
  readonly snapshot: Snapshot;
  /** Newer checkpoints that were damaged and passed over, each with its reason. */
  readonly skipped: readonly string[];
}

/** The checkpoints of one run: a folder `checkpoints/` with one folder for each saved step. */
export class CheckpointStore {
  readonly folder: string;
  readonly #keepLast: number;
  readonly #keepEvery: number;
  readonly #keepBest: RetentionOptions["keepBest"];
  #clean = false;

  constructor(folder: string, options: RetentionOptions = {}) {
    this.folder = folder;
    this.#keepLast = options.keepLast ?? 3;
    this.#keepEvery = options.keepEvery ?? 0;
    this.#keepBest = options.keepBest;
    if (!Number.isSafeInteger(this.#keepLast) || this.#keepLast < 1) {
      throw new CheckpointError("checkpoint", `\`keepLast\` is a whole number ≥ 1: received ${this.#keepLast}`);
    }
  }

  /** Steps there are checkpoints of, oldest first. */
  steps(): Promise<number[]> {
    return listCheckpoints(this.folder);
  }

  /** Saves a run; then removes those that no longer count. Returns the path. */
  async save(
    snapshot: Snapshot,
    options: { readonly values?: Logs; readonly config?: JsonValue } = {},
  ): Promise<string> {
    const { values = {}, config } = options;
    const files = snapshotFiles(snapshot, config);
    const step = snapshot.state.step.item();
    await this.#recover();
    const finite = Object.fromEntries(Object.entries(values).filter(([, value]) => Number.isFinite(value)));
    const path = await writeCheckpoint(this.folder, step, { files, values: finite });
    await this.#prune(step);
    return path;
  }

  /**
   * The newest intact checkpoint, for a state built like `like`; `undefined` where there is none at all. With `only`, among
   * those of the steps it says yes to.
   */
  async latest(
    like: TrainState,
    { only = () => true }: { readonly only?: (step: number) => boolean } = {},
  ): Promise<LoadedCheckpoint | undefined> {
    await this.#recover();
    const skipped: string[] = [];
    const steps = (await this.steps()).filter(only);
    for (const step of steps.reverse()) {
      let read: VerifiedFiles;
      try {
        read = await readCheckpoint(this.folder, step);
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        skipped.push(`${error.where}: ${error.problem}`);
        continue;
      }
      return { step, path: read.path, snapshot: snapshotFromFiles(read.files, { like, path: read.path }), skipped };
    }
    if (skipped.length === 0) return undefined;
    throw new CheckpointError(this.folder, `no checkpoint is intact: ${skipped.join("; ")}`);
  }

  /** Removes the checkpoints of later steps: those of a branch that was given up. */
  async removeAfter(step: number): Promise<void> {
    for (const later of await this.steps()) if (later > step) await removeCheckpoint(this.folder, later);
  }

  /** The best there is by the value of `keepBest`; undefined where none has it. */
  async best(): Promise<{ readonly step: number; readonly value: number } | undefined> {
    if (this.#keepBest === undefined) return undefined;
    const { monitor, mode } = this.#keepBest;
    let best: { step: number; value: number } | undefined;
    for (const step of await this.steps()) {
      const manifest = await readManifest(join(this.folder, String(step))).catch(() => undefined); // a damaged one is not the best
      const value = manifest?.values[monitor];
      if (typeof value !== "number") continue;
      if (best === undefined || (mode === "min" ? value < best.value : value > best.value)) best = { step, value };
    }
    return best;
  }

  async #recover(): Promise<void> {
    if (!this.#clean) await recoverCheckpoints(this.folder);
    this.#clean = true;
  }

  async #prune(newest: number): Promise<void> {
    const steps = await this.steps();
    const kept = new Set([...steps.slice(-this.#keepLast), newest]);
    if (this.#keepEvery > 0) kept.add(steps.findLast((step) => step % this.#keepEvery === 0) ?? newest);
    kept.add((await this.best())?.step ?? newest);
    for (const step of steps) if (!kept.has(step)) await removeCheckpoint(this.folder, step);
  }
}

const WEIGHTS = /^(params|frozen|states)\./;

/** The files of a run: weights by path, the rest of the state, how far it is, and the model's configuration where given. */
export function snapshotFiles({ state, progress, tensors }: Snapshot, config?: JsonValue): Map<string, Uint8Array> {
  const arrays = [...stateArrays(state)];
  const weights = arrays
    .filter(([name]) => WEIGHTS.test(name))
    .map(([name, array]) => [name.replace(WEIGHTS, ""), array] as const);
  const rest = arrays.filter(([name]) => !WEIGHTS.test(name));
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(packNumbers(value))}\n`);
  return new Map([
    ["model.safetensors", encodeSafetensors(new Map(weights))],
    ["state.safetensors", encodeSafetensors(new Map(rest))],
    ["progress.json", json({ position: state.position, progress })],
    ...(Object.keys(tensors).length === 0
      ? []
      : [["callbacks.safetensors", encodeSafetensors(new Map(Object.entries(tensors)))] as const]),
    ...(config === undefined ? [] : [["config.json", json(config)] as const]),
  ]);
}

/** A run from its files. */
export function snapshotFromFiles(
  files: ReadonlyMap<string, Uint8Array>,
  { like, path }: { readonly like: TrainState; readonly path: string },
): Snapshot {
  const file = (name: string): Uint8Array => {
    const content = files.get(name);
    if (content === undefined) throw new CheckpointError(path, `the checkpoint is damaged: ${name} is missing`);
    return content;
  };
  const arrays = new Map<string, HostArray>(decodeSafetensors(file("state.safetensors"), { where: path }).tensors);
  const weights = decodeSafetensors(file("model.safetensors"), { where: path }).tensors;
  for (const [name, array] of weights) {
    const group = name in like.params ? "params" : name in like.states ? "states" : "frozen";
    arrays.set(`${group}.${name}`, array);
  }
  const parsed = unpackNumbers(parseJson(new TextDecoder().decode(file("progress.json")), { where: path }));
  if (!isPlainObject(parsed))
    throw new CheckpointError(path, "the checkpoint is damaged: progress.json is not an object");
  const { position, progress } = parsed as unknown as { position: Position; progress: Progress };
  const own = files.get("callbacks.safetensors");
  const tensors = own === undefined ? new Map<string, HostArray>() : decodeSafetensors(own, { where: path }).tensors;
  return { state: stateFromArrays(like, arrays, position), progress, tensors: Object.fromEntries(tensors) };
}

// JSON has no NaN and no infinities; histories do.
function packNumbers(value: unknown): unknown {
  if (typeof value === "number" && !Number.isFinite(value)) return { "#": String(value) };
  if (Array.isArray(value)) return value.map(packNumbers);
  if (isPlainObject(value))
    return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, packNumbers(child)]));
  return value;
}

function unpackNumbers(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(unpackNumbers);
  if (!isPlainObject(value)) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "#") return Number((value as { readonly "#": JsonValue })["#"]);
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, unpackNumbers(child)]));
}
