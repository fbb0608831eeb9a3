// Diagnosis of a step that was not finite: the same step again, one operation after the other, until the first bad number.
import { ChainruleError } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import { flattenTensors, random, valueAndGrad } from "../../engine/tensor/index.ts";
import { Context } from "../nn/index.ts";
import type { TensorMap } from "../optim/index.ts";
import { microBatchSize } from "./accumulate.ts";
import type { StepBatch } from "./objective.ts";
import type { TrainState } from "./state.ts";
import { widen } from "./storage.ts";
import { forward, type CallListener, type TrainStep } from "./step.ts";
import { valuesOf } from "./state.ts";

/** Where the first number that is not finite was made. */
export interface Diagnosis {
  readonly where: string;
  readonly problem: string;
}

/** Finds the first input, layer output, loss or gradient that is not finite, from the state before the step and its batch. */
export async function diagnose(step: TrainStep, state: TrainState, batch: StepBatch): Promise<Diagnosis> {
  const key = random.foldIn(state.key, state.step);
  const parts = partsOf(batch, step.accumulate);
  for (const [micro, part] of parts.entries()) {
    const found = diagnosePart(step, state, { batch: part, key: parts.length === 1 ? key : random.foldIn(key, micro) });
    if (found !== undefined) return found;
  }
  return { where: "step", problem: "loss or gradients were not finite, but are when computed operation by operation" };
}

// Micro-batches as the step cuts them: the whole batch may be too large for one pass.
function partsOf(batch: StepBatch, accumulate: number): StepBatch[] {
  const flat = flattenTensors({ ...batch }, "batch");
  const rows = flat.tensors[0]?.shape[0] ?? 1;
  const size = microBatchSize(rows, accumulate);
  if (size === rows) return [batch];
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
    const slices = flat.tensors.map((x) => x.slice(i * size, Math.min(rows, (i + 1) * size)));
    return flat.rebuild(slices) as StepBatch;
  });
}

function diagnosePart(
  step: TrainStep,
  state: TrainState,
  { batch, key }: { readonly batch: StepBatch; readonly key: Tensor },
): Diagnosis | undefined {
  const input = firstBad(batch.x) ?? firstBad(batch.y);
  if (input !== undefined) return { where: "data", problem: `the batch holds ${input}` };
  // As the step computes: in float32, whatever the state is kept in.
  const params = widen(state.params);
  const values = { ...valuesOf(state), ...params };
  const weight = Object.entries(values).find(([, value]) => firstBad(value) !== undefined);
  if (weight !== undefined) return { where: weight[0], problem: `the weights hold ${firstBad(weight[1])}` };
  const { module, objective } = step;
  const paths = new Map(module.modules().map(([path, one]) => [one, path]));
  let found: Diagnosis | undefined;
  const listen: CallListener = (called, _, output) => {
    const bad = firstBad(output);
    if (bad === undefined) return;
    found ??= { where: paths.get(called) || called.constructor.name, problem: `the output holds ${bad}` };
  };
  const pass = (trained: TensorMap, onCall?: CallListener): Tensor => {
    const context = new Context({ training: true, key });
    const all = { ...values, ...trained };
    return forward({ module, objective, context, values: all, batch, ...(onCall === undefined ? {} : { onCall }) })[0];
  };
  try {
    const loss = pass(params, listen);
    if (found !== undefined) return found;
    const bad = firstBad(loss);
    if (bad !== undefined) return { where: "loss", problem: `the loss is ${bad}` };
    const gradients = valueAndGrad((trained: TensorMap) => pass(trained))(params)[1];
    // Backpropagation runs from the end to the beginning: the last bad gradient is the first one made.
    for (const [path, gradient] of Object.entries(gradients).reverse()) {
      const bad = firstBad(gradient);
      if (bad !== undefined) return { where: path, problem: `the gradient holds ${bad}` };
    }
  } catch (error) {
    if (error instanceof ChainruleError) return { where: error.where, problem: error.problem };
    throw error;
  }
  return undefined;
}

function firstBad(tree: unknown): string | undefined {
  for (const x of flattenTensors(tree).tensors) {
    if (x.dtype !== "float32") continue;
    const { data } = x.host();
    for (const value of data) if (!Number.isFinite(Number(value))) return String(value);
  }
  return undefined;
}
