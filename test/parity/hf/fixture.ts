// The fixtures of test/fixtures/hf: a model in Hugging Face layout and PyTorch's answers (make-hf.py).
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseJson, readSafetensors, type JsonValue } from "../../../src/data/index.ts";
import type { HostArray } from "../../../src/engine/core/index.ts";
import type { FileArrays } from "../../../src/models/index.ts";

/** A config.json. */
export type ConfigJson = { [field: string]: JsonValue };

/** A tiny model and what PyTorch makes of it. */
export interface Fixture {
  readonly config: ConfigJson;
  readonly weights: FileArrays;
  /** `input_ids`, `logits`, `loss`, `grad:<weight>` or `adamw_losses`. */
  answer(name: string): HostArray;
}

/** Reads test/fixtures/hf/<name>. */
export async function readFixture(name: string): Promise<Fixture> {
  const path = (file: string): string => fileURLToPath(new URL(`../../fixtures/hf/${name}/${file}`, import.meta.url));
  const { tensors: answers } = await readSafetensors(path("expected.safetensors"));
  return {
    config: parseJson(readFileSync(path("config.json"), "utf8")) as ConfigJson,
    weights: (await readSafetensors(path("model.safetensors"))).tensors,
    answer: (key) => {
      const found = answers.get(key);
      if (found === undefined) throw new Error(`${name} has no answer ${key}`);
      return found;
    },
  };
}

/** The config with rates of dropout 0: PyTorch's answers are made without. */
export function withoutDropout(config: ConfigJson): ConfigJson {
  return Object.fromEntries(
    Object.entries(config).map(([field, value]) => [field, field.endsWith("_pdrop") ? 0 : value]),
  );
}
