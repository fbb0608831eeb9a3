// summary(): the layers of a model with shapes and parameters; what it weighs in memory and costs in arithmetic.
import { sizeOf, type Shape, type TensorType } from "../../../engine/core/index.ts";
import { Tensor, traceProgram, zeros, type Jitted } from "../../../engine/tensor/index.ts";
import { Layer, type Module } from "../../nn/index.ts";
import type { Optimizer, TensorMap } from "../../optim/index.ts";

/** One layer of a summary. */
export interface SummaryRow {
  readonly name: string;
  readonly type: string;
  /** Without the batch; one for each output. */
  readonly outputShapes: readonly Shape[];
  readonly parameters: number;
  readonly trainable: boolean;
}

/** What a model is, weighs and costs. */
export interface ModelSummary {
  readonly name: string;
  readonly rows: readonly SummaryRow[];
  /** Numbers of elements. */
  readonly parameters: { readonly total: number; readonly trainable: number; readonly frozen: number };
  /** Bytes: weights and states, gradients, optimizer (0 before compile). */
  readonly memory: { readonly weights: number; readonly gradients: number; readonly optimizer: number };
  /** Floating-point operations of the forward pass of one sample, from the compiled plan. */
  readonly flops: number;
}

interface Plan {
  readonly steps: readonly PlanStep[];
}
type PlanStep =
  | { readonly kind: "kernel"; readonly flops: number }
  | { readonly kind: "loop"; readonly count: number; readonly body: readonly PlanStep[] };

/** Describes a model; `predict` is its compiled prediction, for the arithmetic. */
export function summarize(
  model: Layer<never, unknown>,
  {
    inputs,
    single,
    predict,
    optimizer,
  }: {
    readonly inputs: readonly TensorType[];
    readonly single: boolean;
    readonly predict: Jitted<[TensorMap, never], unknown>;
    readonly optimizer: Optimizer | undefined;
  },
): ModelSummary {
  const shapes = new Map<Module<never, unknown>, Shape[]>();
  model.trace(
    inputs,
    (module, _, output) => {
      const outputs = (Array.isArray(output) ? output : [output]) as unknown[];
      if (!shapes.has(module))
        shapes.set(
          module,
          outputs.flatMap((x) => (x instanceof Tensor ? [x.shape.slice(1)] : [])),
        );
    },
    { single },
  );
  const all = model.parameters();
  const count = (list: typeof all): number => list.reduce((n, { parameter }) => n + sizeOf(parameter.shape), 0);
  const rows = model.children().map(([name, module]): SummaryRow => {
    const own = all.filter(({ path }) => path.startsWith(`${name}.`));
    return {
      name,
      type: module instanceof Layer ? module.kind : module.constructor.name,
      outputShapes: shapes.get(module) ?? [],
      parameters: count(own),
      trainable: own.some(({ trainable }) => trainable),
    };
  });
  const trained = all.filter(({ trainable }) => trainable);
  const placeholders = Object.fromEntries(
    all.map(({ path, parameter }) => [path, zeros(parameter.shape, parameter.dtype)]),
  );
  const samples = inputs.map(({ dtype, shape }) => zeros([1, ...shape.slice(1)], dtype));
  const { plan } = predict.lower(placeholders, (single ? samples[0] : samples) as never);
  const params = Object.fromEntries(trained.map(({ path }) => [path, placeholders[path]!]));
  const state =
    optimizer === undefined ? [] : traceProgram((p: TensorMap) => optimizer.transformation.init(p), params).outputs;
  for (const x of [...Object.values(placeholders), ...samples]) x.dispose();
  const [total, trainable] = [count(all), count(trained)];
  return {
    name: model.name ?? model.kind.toLowerCase(),
    rows,
    parameters: { total, trainable, frozen: total - trainable },
    memory: {
      weights: 4 * total,
      gradients: 4 * trainable,
      optimizer: 4 * state.reduce((n, { shape }) => n + sizeOf(shape), 0),
    },
    flops: flopsOf((plan as Plan).steps),
  };
}

function flopsOf(steps: readonly PlanStep[]): number {
  return steps.reduce((sum, step) => sum + (step.kind === "kernel" ? step.flops : step.count * flopsOf(step.body)), 0);
}

/** A summary as text, in Keras's layout. */
export function formatSummary({ name, rows, parameters, memory, flops }: ModelSummary): string {
  const header = ["Layer (type)", "Output Shape", "Param #", "Trainable"];
  const cells = rows.map((row) => [
    `${row.name} (${row.type})`,
    row.outputShapes.map((shape) => `(None, ${shape.join(", ")})`.replace(", )", ")")).join(", ") || "?",
    whole(row.parameters),
    row.parameters === 0 ? "-" : row.trainable ? "yes" : "no",
  ]);
  const widths = header.map((title, c) => Math.max(title.length, ...cells.map((row) => row[c]!.length)));
  const line = (row: readonly string[], bar: string): string =>
    bar + row.map((cell, c) => ` ${c === 2 ? cell.padStart(widths[c]!) : cell.padEnd(widths[c]!)} `).join(bar) + bar;
  const rule = (left: string, middle: string, options: { right: string; dash: string }): string =>
    left + widths.map((width) => options.dash.repeat(width + 2)).join(middle) + options.right;
  return [
    `Model: "${name}"`,
    rule("┏", "┳", { right: "┓", dash: "━" }),
    line(header, "┃"),
    rule("┡", "╇", { right: "┩", dash: "━" }),
    ...cells.map((row) => line(row, "│")),
    rule("└", "┴", { right: "┘", dash: "─" }),
    ` Total params: ${whole(parameters.total)} (${bytes(memory.weights)})`,
    ` Trainable params: ${whole(parameters.trainable)} (${bytes(4 * parameters.trainable)})`,
    ` Non-trainable params: ${whole(parameters.frozen)} (${bytes(4 * parameters.frozen)})`,
    ` Memory of training: weights ${bytes(memory.weights)}, gradients ${bytes(memory.gradients)}, optimizer ${bytes(memory.optimizer)}`,
    ` Forward pass: ${whole(flops)} FLOPs a sample`,
  ].join("\n");
}

function whole(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ",");
}

function bytes(n: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  let size = n;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(2)} ${units[unit]}`;
}
