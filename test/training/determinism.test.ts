// The same seed gives the same bits: in new processes, with one thread and with several, on native and on wasm.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { root } from "../architecture/imports.ts";
import { child, loadCases } from "./built.ts";

beforeAll(async () => void (await loadCases()), 60_000);

const native = existsSync(join(root, "dist", "native", "chainrule.node"));
const devices = native ? (["native", "wasm"] as const) : (["wasm"] as const);

const hash = (device: string, threads: number, seed: number = 1): Promise<string> =>
  child<string>({ mode: "large", seed }, { CHAINRULE_DEVICE: device, CHAINRULE_THREADS: String(threads) });

describe("the weights", () => {
  it.each(devices)("are the same twice on %s, and others from another seed", async (device) => {
    const first = await hash(device, 2);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await hash(device, 2)).toBe(first);
    expect(await hash(device, 2, 2)).not.toBe(first);
  });

  it.each(devices)("are the same with 1, 2, 3 and 8 threads on %s", async (device) => {
    const one = await hash(device, 1);
    for (const threads of [2, 3, 8]) expect(await hash(device, threads), `${threads} threads`).toBe(one);
  });
});
