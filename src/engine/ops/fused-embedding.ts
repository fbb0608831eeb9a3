// Rows of a table looked up by number: the first layer of a language model.
import { DtypeError, formatType, ShapeError, type TensorType } from "../core/index.ts";
import type { OpRecord, Value } from "../program/index.ts";
import { bind1, expectDtype, expectInputs, float, int, none, withOp, type None, type OpFunction } from "./define.ts";
import { gather } from "./gather.ts";
import { cast, stored } from "./math.ts";

const embeddingOp: OpRecord<None> = {
  name: "embedding",
  doc: "The rows of a table with these numbers: `y[…, :] = table[ids[…], :]`; the gradient adds up in the rows used.",
  traits: { kind: "fused", recompute: "cheap" },
  shape: (types) => {
    expectInputs("embedding", types, 2);
    const [table, ids] = types as [TensorType, TensorType];
    expectDtype("embedding", [table], ["float32"]);
    if (ids.dtype !== "int32")
      throw new DtypeError("embedding", `ids are int32 row numbers: received ${formatType(ids)}`);
    if (table.shape.length !== 2)
      throw new ShapeError("embedding", `the table is [V,D]: received ${formatType(table)}`);
    return [{ dtype: "float32", shape: [...ids.shape, table.shape[1]!] }];
  },
  simplify: ({ inputs: [x, ids], producer }) => {
    const table = stored(x!, producer);
    return table === undefined ? undefined : [cast(gather(table, ids!, 0), "float32")];
  },
  decompose: ([table, ids]) => [gather(table!, ids!, 0)],
  samples: [
    { inputs: [float([5, 3]), int([4], 0, 4)], attrs: none },
    { inputs: [float([5, 3]), int([], 0, 4)], attrs: none },
    { inputs: [float([7, 2]), int([2, 3], 0, 6)], attrs: none },
    { inputs: [float([3, 2]), { ...int([4], 0, 2), values: [1, 1, 1, 0] }], attrs: none },
    { inputs: [float([5, 3]), int([0], 0, 4)], attrs: none },
  ],
  errors: [
    { inputs: [float([5, 3]), float([4])], attrs: none, message: "int32 row numbers" },
    { inputs: [float([5]), int([4], 0, 4)], attrs: none, message: "the table is [V,D]" },
    { inputs: [float([5, 3]), { ...int([2], 0, 4), values: [0, 5] }], attrs: none, message: "range" },
    { inputs: [float([5, 3]), { ...int([2], 0, 4), values: [-1, 0] }], attrs: none, message: "range" },
  ],
};

/** The rows of a table [V,D] with the numbers `ids`. */
export const embedding: OpFunction<(table: Value, ids: Value) => Value, None> = withOp(embeddingOp, (table, ids) =>
  bind1(embeddingOp, [table, ids], none),
);
