// Recording a forward pass: the program of one sample's loss, and which of its values go into and come out of each layer.
import { ArgumentError } from "../../engine/core/index.ts";
import { currentTrace, trace, Value, type Program } from "../../engine/program/index.ts";
import { flattenTensors, Tensor } from "../../engine/tensor/index.ts";
import { regularization, type Context, type Loss, type Module, type NamedTensors } from "../nn/index.ts";

/** Any module, whatever goes in and out. */
export type AnyModule = Module<never, unknown>;

/** What one training step is about. */
export interface StepSpec {
  readonly model: AnyModule;
  readonly loss: Loss;
  /** A new context for each pass: one that was used hands out other keys. */
  readonly context: () => Context;
  /** Whether the model takes an array of inputs even if there is one. */
  readonly single: boolean;
}

/** One call of a module. */
export interface Call {
  readonly path: string;
  readonly module: AnyModule;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
}

/** A forward pass as a program. */
export interface Recorded {
  /** Inputs: parameters in the order of `paths`, sample inputs, target, then captured arrays. */
  readonly program: Program;
  /** Values of the enclosing trace to run it with. */
  readonly args: readonly Value[];
  readonly paths: readonly string[];
  readonly calls: readonly Call[];
  /** Calls inside loops, whose values exist once a turn and cannot be shown one by one: path and how often. */
  readonly looped: ReadonlyMap<string, number>;
  /** All of the loss, its data part and its penalty. */
  readonly loss: Value;
  readonly data: Value;
  readonly penalty: Value | undefined;
  readonly prediction: Value;
}

/** The loss of a sample: mean of the per-sample losses plus the penalties of the parameters. */
export function lossOf(
  { model, loss, context, single }: StepSpec,
  values: NamedTensors,
  batch: { readonly inputs: readonly Tensor[]; readonly target: Tensor },
  onCall?: (module: AnyModule, input: unknown, output: unknown) => void,
): { total: Tensor; data: Tensor; penalty: Tensor | undefined; prediction: Tensor } {
  const input = (single ? batch.inputs[0]! : batch.inputs) as never;
  const { output } = model.pure(values, input, context(), { onCall });
  if (!(output instanceof Tensor)) {
    throw new ArgumentError("explain", "the model has several outputs", {
      hint: "explain a model with one output, made of the part you want to see",
    });
  }
  const data = loss.perSample(batch.target, output).mean();
  const penalty = regularization(model, values);
  return { total: penalty === undefined ? data : data.add(penalty), data, penalty, prediction: output };
}

/** Traces the loss inside the open trace, listening to every module call. */
export function record(
  spec: StepSpec,
  values: NamedTensors,
  batch: { readonly inputs: readonly Tensor[]; readonly target: Tensor },
): Recorded {
  const flat = flattenTensors([values, batch.inputs, batch.target], "explain");
  const outer = flat.tensors.map(({ content }) => content as Value);
  const paths = new Map(spec.model.modules().map(([path, module]) => [module, path]));
  const calls: Call[] = [];
  const looped = new Map<string, number>();
  const kept: Value[] = [];
  let penalized = false;
  const { program, captured } = trace(outer, (inner) => {
    const builder = currentTrace()!;
    const [v, inputs, target] = flat.rebuild(inner.map((value) => new Tensor(value))) as [
      NamedTensors,
      Tensor[],
      Tensor,
    ];
    const onCall = (module: AnyModule, input: unknown, output: unknown): void => {
      const path = paths.get(module) ?? module.constructor.name;
      const flow = [flattenTensors(input, path), flattenTensors(output, path)].map(({ tensors }) =>
        tensors.map(valueOf),
      );
      if (flow.flat().some((value) => value.owner !== builder)) looped.set(path, (looped.get(path) ?? 0) + 1);
      else calls.push({ path, module, inputs: flow[0]!, outputs: flow[1]! });
    };
    const { total, data, penalty, prediction } = lossOf(spec, v, { inputs, target }, onCall);
    penalized = penalty !== undefined;
    kept.push(...[total, data, prediction, penalty ?? total].map(valueOf));
    return kept;
  });
  const [loss, data, prediction, penalty] = kept as [Value, Value, Value, Value];
  return {
    program,
    args: [...outer, ...captured],
    paths: Object.keys(values),
    calls,
    looped,
    loss,
    data,
    penalty: penalized ? penalty : undefined,
    prediction,
  };
}

// Arrays kept by a layer become values of the trace once an operation reads them.
function valueOf(x: Tensor): Value {
  return x.content instanceof Value ? x.content : (x.add(0).content as Value);
}
