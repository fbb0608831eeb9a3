// Parameter groups: other decay and another learning rate for some parameters, found by their path or by a function.
import { ArgumentError, checkRange, type Path } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";
import { stateless, type GradientTransformation } from "./transformation.ts";

/** Finds parameters: a pattern of the whole path, `*` for any characters, `|` for "or"; or a function. */
export type ParameterMatch = string | ((path: Path, param: Tensor) => boolean);

/** Parameters that are treated differently. A parameter belongs to the first group that matches it. */
export interface ParameterGroup {
  /** `"*.bias|*norm*"`, say. */
  readonly match: ParameterMatch;
  /** Instead of the optimizer's own. */
  readonly weightDecay?: number;
  /** A factor of the optimizer's learning rate, which stays one number or schedule; default 1. */
  readonly learningRate?: number;
}

/** A group as plain JSON. */
export interface ParameterGroupConfig {
  readonly match: string;
  readonly weightDecay?: number;
  readonly learningRate?: number;
}

/** What holds for one parameter. */
export interface ParameterRule {
  readonly weightDecay: number;
  /** Factor of the learning rate. */
  readonly factor: number;
}

const FUNCTION = "(function)";

/**
 * A pattern or function as a function.
 *
 * @example
 * matcher("*.bias|norm*")("blocks.0.qkv.bias", tensor([0])); // true
 */
export function matcher(match: ParameterMatch): (path: Path, param: Tensor) => boolean {
  if (typeof match === "function") return match;
  if (match === FUNCTION) {
    throw new ArgumentError("groups", "a group that was found by a function cannot be made from a config", {
      hint: "give the optimizer itself, or patterns",
    });
  }
  const escaped = match.replaceAll(/[.+?^${}()[\]\\]/g, "\\$&").replaceAll("*", ".*");
  const pattern = new RegExp(`^(?:${escaped})$`, "s");
  return (path) => pattern.test(path);
}

/** The rule of each parameter: of its group, else of the optimizer; decay of matrices only, where asked. */
export function parameterRules(
  where: string,
  options: {
    readonly weightDecay: number;
    readonly noDecay: readonly string[];
    readonly decayMatricesOnly: boolean;
    readonly groups: readonly ParameterGroup[];
  },
): (path: Path, param: Tensor) => ParameterRule {
  const { weightDecay, noDecay, decayMatricesOnly, groups } = options;
  checkRange(where, "weightDecay", weightDecay, 0);
  const found = groups.map((group) => {
    if (group.weightDecay !== undefined) checkRange(where, "groups.weightDecay", group.weightDecay, 0);
    if (group.learningRate !== undefined) checkRange(where, "groups.learningRate", group.learningRate, 0);
    return { ...group, matches: matcher(group.match) };
  });
  return (path, param) => {
    const group = found.find(({ matches }) => matches(path, param));
    const exempt = noDecay.includes(path.split(".").at(-1)!) || (decayMatricesOnly && param.rank < 2);
    return {
      weightDecay: group?.weightDecay ?? (exempt ? 0 : weightDecay),
      factor: group?.learningRate ?? 1,
    };
  };
}

/** Groups as plain JSON. */
export function groupConfigs(groups: readonly ParameterGroup[]): readonly ParameterGroupConfig[] {
  return groups.map(({ match, ...rest }) => ({ match: typeof match === "string" ? match : FUNCTION, ...rest }));
}

/** Times the rate and the factor of each parameter's rule. */
export function scaleByRule(
  rate: Tensor | number,
  ruleOf: (path: Path, param: Tensor) => ParameterRule,
): GradientTransformation {
  const rates = new Map<number, Tensor | number>([[1, rate]]);
  const rateOf = (factor: number): Tensor | number => {
    let known = rates.get(factor);
    if (known === undefined) rates.set(factor, (known = typeof rate === "number" ? rate * factor : rate.mul(factor)));
    return known;
  };
  return stateless((gradient, param, path) => gradient.mul(rateOf(ruleOf(path, param).factor)));
}
