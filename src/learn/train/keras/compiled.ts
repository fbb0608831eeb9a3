// What compile() settles: optimizer, losses and metrics of a model, by output.
import { ArgumentError, isPlainObject } from "../../../engine/core/index.ts";
import { resolveMetric, type Metric } from "../../metrics/index.ts";
import { resolveLoss, type Loss, type LossLike } from "../../nn/index.ts";
import { resolveOptimizer, type Optimizer } from "../../optim/index.ts";
import { Measures, type OutputMeasures } from "../measures.ts";
import { makeObjective, type Objective } from "../objective.ts";

/** One for each output: a lone value, a list in order, or an object by name. */
export type PerOutput<T> = T | readonly T[] | { readonly [output: string]: T };

export interface CompileOptions {
  /** A name ("sgd", "adam", …) or an optimizer; default "rmsprop", as in Keras. */
  readonly optimizer?: string | Optimizer;
  /** A name or a loss; with several outputs one for each. */
  readonly loss: PerOutput<LossLike>;
  /** Factor of each output's loss. */
  readonly lossWeights?: readonly number[] | { readonly [output: string]: number } | undefined;
  /** Names or metrics; with several outputs a list of lists, or an object by name. */
  readonly metrics?: MetricsOption | undefined;
  /** Metrics that count samples by their weights. */
  readonly weightedMetrics?: MetricsOption | undefined;
  /** Seed of weights that are not made yet, of the order of samples and of random layers; default 0: every run is repeatable. */
  readonly seed?: number;
}

export type MetricLike = string | Metric;
export type MetricsOption =
  readonly (MetricLike | readonly MetricLike[])[] | { readonly [output: string]: MetricLike | readonly MetricLike[] };

/** What answers a loss takes: class numbers (all but one that may be ignored), or numbers of the output's shape. */
export function labelsOf(loss: Loss | undefined): {
  readonly sparse: boolean;
  readonly ignoredLabel: number | undefined;
} {
  const ignored = loss?.config?.["ignoreClass"];
  return {
    sparse: loss?.name === "sparse_categorical_crossentropy",
    ignoredLabel: typeof ignored === "number" ? ignored : undefined,
  };
}

/** A compiled model's choices. */
export interface Compiled {
  readonly optimizer: Optimizer;
  readonly losses: readonly Loss[];
  readonly objective: Objective;
  readonly seed: number;
  /** A fresh measurement of loss and metrics. */
  measures(): Measures;
}

/** Resolves the options of compile() for these outputs. */
export function compileFor(outputs: readonly string[], options: CompileOptions): Compiled {
  const { optimizer = "rmsprop", loss, lossWeights, metrics, weightedMetrics, seed = 0 } = options;
  if (loss === undefined)
    throw new ArgumentError("compile", "needs a `loss`", {
      hint: 'such as "mse" or "sparse_categorical_crossentropy"',
    });
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new ArgumentError("compile", `\`seed\` is a whole number ≥ 0: received ${seed}`);
  const losses = perOutput("loss", outputs, loss).map((one) => resolveLoss(one));
  const weights = lossWeights === undefined ? undefined : perOutput<number>("lossWeights", outputs, lossWeights);
  // Here, so that a wrong name is an error of compile() and not of the first fit().
  const resolved = (lists: (readonly MetricLike[])[]): (readonly Metric[])[] =>
    lists.map((list) => list.map(resolveMetric));
  const plain = resolved(metricsPerOutput("metrics", outputs, metrics));
  const weighted = resolved(metricsPerOutput("weightedMetrics", outputs, weightedMetrics));
  return {
    optimizer: resolveOptimizer(optimizer),
    losses,
    objective: makeObjective(losses, weights === undefined ? {} : { lossWeights: weights }),
    seed,
    measures: () =>
      new Measures(
        outputs.map((name, o): OutputMeasures => ({
          name: outputs.length === 1 ? undefined : name,
          metrics: plain[o]!,
          weightedMetrics: weighted[o]!,
        })),
      ),
  };
}

function perOutput<T>(what: string, outputs: readonly string[], given: PerOutput<T>): T[] {
  if (Array.isArray(given)) {
    if (given.length !== outputs.length) {
      throw new ArgumentError(
        "compile",
        `\`${what}\` needs ${outputs.length} entries, one for each output: received ${given.length}`,
      );
    }
    return [...(given as T[])];
  }
  if (isPlainObject(given) && outputs.some((name) => name in given)) {
    const map = given;
    checkNames(what, outputs, map);
    const missing = outputs.filter((name) => !(name in map));
    if (missing.length > 0)
      throw new ArgumentError("compile", `\`${what}\` has no entry for the outputs ${missing.join(", ")}`);
    return outputs.map((name) => map[name]!);
  }
  return outputs.map(() => given as T);
}

function metricsPerOutput(
  what: string,
  outputs: readonly string[],
  given: MetricsOption | undefined,
): (readonly MetricLike[])[] {
  if (given === undefined) return outputs.map(() => []);
  const list = (one: MetricLike | readonly MetricLike[] | undefined): readonly MetricLike[] =>
    one === undefined ? [] : isList(one) ? one : [one];
  if (isList(given)) {
    if (outputs.length === 1) return [given.flatMap((one) => list(one))];
    if (given.every((one) => isList(one)) && given.length === outputs.length) return given.map((one) => list(one));
    throw new ArgumentError(
      "compile",
      `\`${what}\` of ${outputs.length} outputs is a list for each, or an object by name`,
    );
  }
  checkNames(what, outputs, given);
  return outputs.map((name) => list(given[name]));
}

function isList<T>(x: T | readonly T[] | { readonly [name: string]: unknown }): x is readonly T[] {
  return Array.isArray(x);
}

function checkNames(what: string, outputs: readonly string[], given: object): void {
  const extra = Object.keys(given).filter((name) => !outputs.includes(name));
  if (extra.length > 0)
    throw new ArgumentError("compile", `\`${what}\` names outputs that do not exist: ${extra.join(", ")}`, {
      hint: `the outputs are ${outputs.join(", ")}`,
    });
}
