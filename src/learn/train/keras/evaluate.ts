// Evaluation and prediction, batch by batch, in the order of the data.
import { HostArray } from "../../../engine/core/index.ts";
import { flattenTensors, tensor } from "../../../engine/tensor/index.ts";
import { sampler, type Dataset } from "../../../data/index.ts";
import type { TensorMap } from "../../optim/index.ts";
import type { Logs } from "../callback.ts";
import type { HostBatch } from "../train-options.ts";
import type { Measures } from "../measures.ts";
import { Pace } from "../pace.ts";
import type { EvaluateStep, PredictStep } from "../step.ts";
import { uploader, type Port, type Ports } from "./prepare.ts";

/** Loss and metrics of some values on some data. */
export async function measureOn(
  step: EvaluateStep,
  data: Dataset<HostBatch>,
  {
    values,
    ports,
    batchSize,
    measures,
  }: { readonly values: TensorMap; readonly ports: Ports; readonly batchSize: number; readonly measures: Measures },
): Promise<Logs> {
  const upload = uploader(ports);
  const pace = new Pace();
  const order = sampler(data.length, { batchSize, shuffle: false });
  for (let start = 0; start < data.length; start += batchSize) {
    const indices = order.indices(0, start);
    const host = await data.batch(indices);
    const batch = upload(host);
    const outputs = await pace.step(
      () => step(values, batch),
      () => step.run(values, batch),
    );
    measures.update({
      count: indices.length,
      loss: outputs.loss.item(),
      parts: outputs.parts.map((part) => part.item()),
      y: host.y,
      predictions: outputs.predictions.map((prediction) => prediction.host()),
      weights: host.weights,
    });
    for (const one of flattenTensors({ batch: { ...batch }, outputs: { ...outputs } }).tensors) one.dispose();
  }
  return measures.result();
}

/** The outputs of a model for some inputs. */
export async function predictOn(
  step: PredictStep,
  arrays: readonly HostArray[],
  {
    values,
    ports,
    batchSize,
  }: { readonly values: TensorMap; readonly ports: readonly Port[]; readonly batchSize: number },
): Promise<HostArray[]> {
  const n = arrays[0]!.shape[0]!;
  const pieces: HostArray[][] = [];
  const pace = new Pace();
  for (let start = 0; start < n; start += batchSize) {
    const rows = arrays.map((array) => array.rows(start, Math.min(start + batchSize, n)));
    const inputs = rows.map((array, i) => tensor(array, { dtype: ports[i]!.dtype }));
    const given = inputs.length === 1 ? inputs[0]! : inputs;
    const outputs = await pace.step(
      () => step(values, given),
      () => step.run(values, given),
    );
    pieces.push(outputs.map((output) => output.host()));
    for (const one of [...inputs, ...outputs]) one.dispose();
  }
  return pieces[0]!.map((_, o) => joinRows(pieces.map((piece) => piece[o]!)));
}

/** Logs with a prefix before each name. */
export function prefixed(prefix: string, logs: Logs): Logs {
  return Object.fromEntries(Object.entries(logs).map(([name, value]) => [prefix + name, value]));
}

function joinRows(pieces: readonly HostArray[]): HostArray {
  const first = pieces[0]!;
  if (pieces.length === 1) return first;
  const rows = pieces.reduce((n, piece) => n + piece.shape[0]!, 0);
  const out = new HostArray(first.dtype, [rows, ...first.shape.slice(1)]);
  let offset = 0;
  for (const piece of pieces) {
    (out.data as Float32Array).set(piece.data as Float32Array, offset);
    offset += piece.size;
  }
  return out;
}
