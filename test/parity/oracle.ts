// The fixtures of test/fixtures/parity: data, weights and losses of other systems, and the optimizers they were made with.
import { fileURLToPath } from "node:url";
import { HostArray } from "../../src/engine/core/index.ts";
import { readSafetensors } from "../../src/data/index.ts";
import { adagrad, adam, adamw, lion, rmsprop, sgd, type Optimizer } from "../../src/learn/optim/index.ts";
import { tensor, type Tensor } from "../../src/engine/tensor/index.ts";

export const BATCH = 32;
export const STEPS = 100;

/** One fixture file. */
export interface Oracle {
  /** An array by name. */
  array(name: string): HostArray;
  /** Initial weights on the default device: every array that is neither data nor an answer. */
  weights(): { [path: string]: Tensor };
  /** Losses of 100 steps with an optimizer of `optimizers`. */
  losses(optimizer: string): number[];
}

const ANSWERS = /^(x|y|logits|predict.*|evaluate.*|loss.*|accuracy.*|grad\..*|losses\..*|final\..*)$/;

/** Reads a fixture of test/fixtures/parity. */
export async function readOracle(name: string): Promise<Oracle> {
  const path = fileURLToPath(new URL(`../fixtures/parity/${name}.safetensors`, import.meta.url));
  const { tensors } = await readSafetensors(path);
  const array = (key: string): HostArray => {
    const found = tensors.get(key);
    if (found === undefined) throw new Error(`${name} has no array ${key}`);
    return found;
  };
  return {
    array,
    weights: () =>
      Object.fromEntries(
        [...tensors].filter(([key]) => !ANSWERS.test(key)).map(([key, value]) => [key, tensor(value)]),
      ),
    losses: (optimizer) => array(`losses.${optimizer}`).toFlat(),
  };
}

/** Pixels as the networks see them: float32(x) / float32(255). */
export function pixels(x: HostArray): HostArray<"float32"> {
  return new HostArray(
    "float32",
    x.shape,
    Float32Array.from(x.data as Uint8Array, (value) => value / 255),
  );
}

/** Rows 32 (t mod N/32) and the 31 after it. */
export function rowsOfStep(array: HostArray, t: number): HostArray {
  const first = BATCH * (t % Math.floor(array.shape[0]! / BATCH));
  return array.rows(first, first + BATCH);
}

/** The optimizers of make-parity.py under their names there. */
export const optimizers: { readonly [name: string]: () => Optimizer } = {
  sgd: () => sgd(),
  momentum: () => sgd({ momentum: 0.9 }),
  nesterov: () => sgd({ momentum: 0.9, nesterov: true }),
  "rmsprop.torch": () => rmsprop({ convention: "torch" }),
  "adam.torch": () => adam({ convention: "torch" }),
  "adamw.torch": () => adamw({ weightDecay: 0.01, convention: "torch" }),
  "adagrad.torch": () => adagrad({ learningRate: 0.01, convention: "torch" }),
  "rmsprop.keras": () => rmsprop(),
  "adam.keras": () => adam(),
  "adamw.keras": () => adamw({ weightDecay: 0.01 }),
  "adagrad.keras": () => adagrad({ learningRate: 0.01 }),
  "lion.keras": () => lion({ learningRate: 1e-4 }),
};

/** The largest difference of two rows of losses, and that of their first ones. */
export function distance(received: readonly number[], expected: readonly number[]): { first: number; all: number } {
  const differences = received.map((loss, t) => Math.abs(loss - expected[t]!));
  return { first: differences[0]!, all: Math.max(...differences) };
}
