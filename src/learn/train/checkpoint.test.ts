// Checkpoint folders: whole or not there, verified, the newest intact one counts, what a killed process left is tidied up.
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CheckpointError, HostArray } from "../../engine/core/index.ts";
import { ones, setDefaultDevice } from "../../engine/tensor/index.ts";
import { dense } from "../nn/index.ts";
import { adam, sgd } from "../optim/index.ts";
import type { Snapshot } from "./callback.ts";
import { readManifest } from "./checkpoint-files.ts";
import { CheckpointStore } from "./checkpoint.ts";
import { createState, hashState, type TrainState } from "./state.ts";

let root = "";
let folder = "";
let n = 0;
beforeAll(() => {
  setDefaultDevice("reference");
  root = mkdtempSync(join(tmpdir(), "chainrule-checkpoint-"));
});
beforeEach(() => {
  folder = join(root, String(n++));
});
afterAll(() => rmSync(root, { recursive: true }));

const build = (units: number = 2, optimizer = adam()): TrainState =>
  createState(dense(units).init(1, ones([1, 3])), { optimizer, seed: 7 });

const at = (step: number, history: { [name: string]: number[] } = {}): Snapshot => {
  const state = build();
  return {
    state: { ...state, step: state.step.add(step), position: { seed: 7, epoch: 1, sample: step } },
    progress: {
      epoch: 1,
      measures: { count: 3 },
      history: { epoch: [0], history },
      callbacks: { "0-early": { wait: 2 } },
    },
    tensors: { "0-early/w": HostArray.from([1, 2]) },
  };
};

async function saved(...steps: readonly number[]): Promise<CheckpointStore> {
  const store = new CheckpointStore(folder, { keepLast: 9 });
  for (const step of steps) await store.save(at(step));
  return store;
}

describe("a checkpoint", () => {
  it("comes back bit for bit, NaN in its history included", async () => {
    const store = new CheckpointStore(folder);
    const before = at(5, { loss: [0.1 + 0.2], val_loss: [NaN], best: [-Infinity] });
    await store.save(before, { values: { loss: 0.5 }, config: { a: 1 } });
    const { snapshot, step, skipped } = (await store.latest(build()))!;
    expect(step).toBe(5);
    expect(skipped).toEqual([]);
    expect(hashState(snapshot.state)).toBe(hashState(before.state));
    expect(snapshot.progress).toEqual(before.progress);
    expect(snapshot.tensors["0-early/w"]!.toFlat()).toEqual([1, 2]);
    expect(readdirSync(join(folder, "5")).sort()).toEqual([
      "callbacks.safetensors",
      "config.json",
      "manifest.json",
      "model.safetensors",
      "progress.json",
      "state.safetensors",
    ]);
  });

  it("of another model or optimizer is refused, with the names", async () => {
    const store = await saved(1);
    await expect(store.latest(build(2, sgd()))).rejects.toThrow(
      /of another model or optimizer: missing \[\], unexpected \[optState/,
    );
    await expect(store.latest(build(3))).rejects.toThrow(
      /`params.kernel` is float64\[3,2\]: this model has float32\[3,3\]/,
    );
  });

  it("is nothing where there is none", async () => {
    expect(await new CheckpointStore(join(folder, "nowhere")).latest(build())).toBeUndefined();
  });
});

describe("damage", () => {
  const files = ["model.safetensors", "state.safetensors", "progress.json", "manifest.json", "callbacks.safetensors"];
  const kinds: [string, (path: string) => void][] = [
    [
      "a flipped bit",
      (path) => {
        const bytes = readFileSync(path);
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(path, bytes);
      },
    ],
    ["a missing end", (path) => truncateSync(path, readFileSync(path).length - 1)],
    ["an empty file", (path) => truncateSync(path, 0)],
    ["a missing file", unlinkSync],
    ["a longer file", (path) => appendFileSync(path, "x")],
  ];
  const cases = files.flatMap((file) => kinds.map(([kind, damage]) => [`${kind}: ${file}`, file, damage] as const));
  it.each(cases)("%s", async (_, file, damage) => {
    const store = await saved(1, 2, 3);
    damage(join(folder, "3", file));
    const loaded = (await store.latest(build()))!;
    expect(loaded.step).toBe(2);
    expect(loaded.skipped).toHaveLength(1);
    expect(loaded.skipped[0]).toMatch(/[/\\]3: the checkpoint is damaged: /);
  });

  it("of any one byte of the manifest is seen", async () => {
    await saved(1);
    const path = join(folder, "1", "manifest.json");
    const sound = readFileSync(path);
    const unseen: number[] = [];
    for (let i = 0; i < sound.length; i += 2) {
      const changed = Buffer.from(sound);
      changed[i]! ^= 1 << (i % 7);
      writeFileSync(path, changed);
      await readManifest(join(folder, "1")).then(
        () => unseen.push(i),
        (error: unknown) => expect(error).toBeInstanceOf(CheckpointError),
      );
    }
    expect(unseen).toEqual([]);
  });

  it("of a strange file in the folder is seen", async () => {
    const store = await saved(1, 2);
    writeFileSync(join(folder, "2", "more.bin"), "x");
    expect((await store.latest(build()))!.skipped[0]).toMatch(/more\.bin does not belong to it/);
  });

  it("of all of them is an error with every reason", async () => {
    const store = await saved(1, 2);
    for (const step of ["1", "2"]) unlinkSync(join(folder, step, "progress.json"));
    await expect(store.latest(build())).rejects.toThrow(/no checkpoint is intact: .*2: .*missing; .*1: .*missing/);
    await expect(store.latest(build())).rejects.toBeInstanceOf(CheckpointError);
  });

  it("by a manifest that leaves its folder is refused", async () => {
    const store = await saved(1, 2);
    const path = join(folder, "2", "manifest.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"progress.json"', '"../progress.json"'));
    expect((await store.latest(build()))!.skipped[0]).toMatch(/impossible file/);
  });
});

describe("what a killed process leaves", () => {
  it("half written is removed, and never counts", async () => {
    const store = await saved(1);
    cpSync(join(folder, "1"), join(folder, ".2.0123456789ab.tmp"), { recursive: true });
    unlinkSync(join(folder, ".2.0123456789ab.tmp", "manifest.json"));
    expect(await store.steps()).toEqual([1]);
    expect((await new CheckpointStore(folder).latest(build()))!.step).toBe(1);
    expect(readdirSync(folder)).toEqual(["1"]);
  });

  it("stepped aside comes back, unless its successor stands there", async () => {
    await saved(1, 2);
    renameSync(join(folder, "2"), join(folder, ".2.0123456789ab.old"));
    cpSync(join(folder, "1"), join(folder, ".1.0123456789ab.old"), { recursive: true });
    expect((await new CheckpointStore(folder).latest(build()))!.step).toBe(2);
    expect(readdirSync(folder).sort()).toEqual(["1", "2"]);
  });

  it("of others is left alone", async () => {
    await saved(1);
    mkdirSync(join(folder, "notes"));
    await new CheckpointStore(folder).latest(build());
    expect(existsSync(join(folder, "notes"))).toBe(true);
  });
});

describe("retention", () => {
  it("keeps the newest and the best", async () => {
    const store = new CheckpointStore(folder, { keepLast: 2, keepBest: { monitor: "val_loss", mode: "min" } });
    for (const [step, loss] of [
      [1, 3],
      [2, 1],
      [3, NaN],
      [4, 2],
      [5, 5],
    ] as const)
      await store.save(at(step), { values: { val_loss: loss } });
    expect(await store.steps()).toEqual([2, 4, 5]);
  });
  it("lets the same step be saved again", async () => {
    const store = await saved(1, 2);
    await store.save({ ...at(2), tensors: {} });
    const { snapshot } = (await store.latest(build()))!;
    expect(snapshot.tensors).toEqual({});
    expect(readdirSync(folder).sort()).toEqual(["1", "2"]);
  });
  it("refuses to keep none", () => {
    expect(() => new CheckpointStore(folder, { keepLast: 0 })).toThrow(/`keepLast`/);
  });
});
