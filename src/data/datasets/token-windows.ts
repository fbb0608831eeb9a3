// tokenWindows: a stream of documents as the batches a language model is trained on.
import { ArgumentError, HostArray, IndexError } from "../../engine/core/index.ts";
import type { SyncDataset } from "./dataset.ts";
import { layOut, type PackingOptions, type PackingReport } from "./packing.ts";
import type { TokenStore } from "./token-store.ts";

/** A batch of windows: B rows of `time` slots. */
export type TokenBatch = {
  readonly x: {
    /** int32 [B, T]: tokens; 0 in padding. */
    readonly ids: HostArray<"int32">;
    /** int32 [B, T], of documents apart: the place in the document's part of this window, from 0. */
    readonly positions?: HostArray<"int32">;
    /** int32 [B, T], of documents apart: 0, 1, … for the documents of a row, −1 for padding. Attention stays inside one. */
    readonly segments?: HostArray<"int32">;
  };
  /** int32 [B, T]: the next token of the same stream (joined) or document (apart); −1 in padding. */
  readonly y: readonly [HostArray<"int32">];
  /** float32 [B, T]: 1, and 0 in padding; only where asked for. */
  readonly weights?: readonly [HostArray<"float32">];
};

/** How windows are made. */
export interface TokenWindowsOptions extends PackingOptions {
  /** What marks slots that are not trained on: labels of −1 (default), or labels of 0 with a weight of 0. */
  readonly untrained?: "label" | "weight";
}

/** Windows by number; which ones a step sees is up to the sampler: a function of (seed, epoch, position). */
export interface TokenWindows extends SyncDataset<TokenBatch> {
  readonly report: PackingReport;
}

/**
 * Windows of `time` tokens with their next tokens as labels, as the training loop takes them.
 *
 * Without `draw`, the windows of one epoch cover every pair of neighbours once; the last windows are padded, nothing is
 * left out. With `draw`, window i begins at a place that is a function of (seed, i) alone.
 *
 * Errors: ArgumentError, DataError of `layOut`; IndexError in `batch`.
 *
 * @example
 * const store = tokenStore([[1, 2, 3, 4], [5, 6, 7]], 10);
 * const windows = tokenWindows(store, { time: 5, documents: "apart" });
 * const { x, y } = windows.batch(Uint32Array.of(0));
 * x.ids.toNested(); // [[1, 2, 3, 5, 6]]
 * y[0].toNested(); // [[2, 3, 4, 6, 7]]
 * x.segments!.toNested(); // [[0, 0, 0, 1, 1]]
 * x.positions!.toNested(); // [[0, 1, 2, 0, 1]]
 */
export function tokenWindows(store: TokenStore, options: TokenWindowsOptions): TokenWindows {
  const { time, documents = "joined", untrained = "label" } = options;
  if (untrained !== "label" && untrained !== "weight")
    throw new ArgumentError("tokenWindows", `\`untrained\` is label or weight: received ${String(untrained)}`);
  if (documents !== "joined" && documents !== "apart")
    throw new ArgumentError("tokenWindows", `\`documents\` is joined or apart: received ${String(documents)}`);
  const layout = layOut(store, options);
  const apart = documents === "apart";
  const scratch = new Int32Array(time + 1);
  return {
    length: layout.windows,
    report: layout.report,
    batch(indices) {
      const shape = [indices.length, time];
      const ids = new HostArray("int32", shape);
      const labels = new HostArray("int32", shape);
      const positions = apart ? new HostArray("int32", shape) : undefined;
      const segments = apart ? new HostArray("int32", shape) : undefined;
      const weights = untrained === "weight" ? new HostArray("float32", shape) : undefined;
      if (untrained === "label") labels.data.fill(-1);
      segments?.data.fill(-1);
      indices.forEach((window, row) => {
        if (window >= layout.windows)
          throw new IndexError("tokenWindows", `window ${window} does not exist: received ${layout.windows} windows`);
        let at = row * time;
        layout.spans(window).forEach(({ from, slots }, segment) => {
          const tokens = scratch.subarray(0, slots + 1);
          store.read(from, tokens);
          ids.data.set(tokens.subarray(0, slots), at);
          labels.data.set(tokens.subarray(1), at);
          weights?.data.fill(1, at, at + slots);
          segments?.data.fill(segment, at, at + slots);
          if (positions !== undefined) for (let i = 0; i < slots; i++) positions.data[at + i] = i;
          at += slots;
        });
        // Positions of padding go on as those of a document would: each is inside the context.
        if (positions !== undefined) for (let i = 0; at + i < (row + 1) * time; i++) positions.data[at + i] = i;
      });
      return {
        x: positions === undefined ? { ids } : { ids, positions, segments: segments! },
        y: [labels],
        ...(weights === undefined ? {} : { weights: [weights] }),
      };
    },
  };
}
