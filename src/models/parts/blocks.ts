// Blocks one after the other: each with its layer of the cache, and computed again in the backward pass where asked.
import { checkpoint, type Tensor } from "../../engine/tensor/index.ts";
import type { BlockModule, BlockOutput, Cache, LayerCache, ModelOptions, Pass } from "./causal-lm.ts";

/** What all blocks together give. */
export interface Stacked {
  /** [B, T, C]. */
  readonly x: Tensor;
  readonly cache: Cache | undefined;
  readonly auxiliary: Tensor | undefined;
}

/** Runs blocks on x [B, T, C]. */
export function runBlocks(
  blocks: readonly BlockModule[],
  x: Tensor,
  { pass, cache, options }: { readonly pass: Pass; readonly cache: Cache | undefined; readonly options: ModelOptions },
): Stacked {
  const again = options.checkpointBlocks === true && pass.context.training;
  const layers: LayerCache[] = [];
  let auxiliary: Tensor | undefined;
  blocks.forEach((block, i) => {
    const run = (h: Tensor): BlockOutput => block.call({ x: h, pass, cache: cache?.layers[i] }, pass.context);
    const output = again ? checkpoint(run)(x) : run(x);
    x = output.x;
    if (output.cache !== undefined) layers.push(output.cache);
    if (output.auxiliary !== undefined) auxiliary = auxiliary?.add(output.auxiliary) ?? output.auxiliary;
  });
  return { x, cache: cache === undefined ? undefined : { layers }, auxiliary };
}
