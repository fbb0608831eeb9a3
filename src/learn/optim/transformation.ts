// Gradient transformations: pairs of pure functions from gradients to updates, composed by `chain`.
import { ArgumentError, type Path } from "../../engine/core/index.ts";
import type { Tensor } from "../../engine/tensor/index.ts";

/** Tensors by path: parameters, their gradients, their updates. */
export type TensorMap = { readonly [path: Path]: Tensor };

/** What a transformation remembers between steps: a plain tree of Tensors, so that a checkpoint can hold it. */
export type OptState = Tensor | readonly OptState[] | { readonly [key: string]: OptState };

/** What `update` returns: updates are added to the parameters. */
export interface Updated<S extends OptState = OptState> {
  readonly updates: TensorMap;
  readonly state: S;
}

/**
 * A step of an optimizer as two pure functions: `init` makes the state for some parameters, `update` turns gradients
 * into updates and the next state. Both work inside a trace. Source: Optax (Babuschkin et al. 2020).
 */
export interface GradientTransformation<S extends OptState = OptState> {
  init(params: TensorMap): S;
  update(gradients: TensorMap, state: S, params: TensorMap): Updated<S>;
}

/** The state of a transformation that remembers nothing. */
export const noState: readonly OptState[] = [];

/** A transformation without memory, from a function of one gradient (and its parameter). */
export function stateless(fn: (gradient: Tensor, param: Tensor, path: Path) => Tensor): GradientTransformation {
  return {
    init: () => noState,
    update: (gradients, state, params) => ({
      updates: mapTensors(gradients, (gradient, path) => fn(gradient, params[path]!, path)),
      state,
    }),
  };
}

/**
 * Transformations one after the other: each gets what the one before made of the gradients.
 *
 * @example
 * const clipped = chain(clipByGlobalNorm(1), scaleByAdam(), scale(-1e-3));
 */
export function chain(...parts: readonly GradientTransformation[]): GradientTransformation<readonly OptState[]> {
  return {
    init: (params) => parts.map((part) => part.init(params)),
    update: (gradients, states, params) => {
      let updates = gradients;
      const next = parts.map((part, i) => {
        const result = part.update(updates, states[i]!, params);
        updates = result.updates;
        return result.state;
      });
      return { updates, state: next };
    },
  };
}

/**
 * Different transformations for different parameters: `labelOf` names the one of each. Source: Optax's `multi_transform`.
 *
 * @example
 * partition((path, { rank }) => (rank < 2 ? "adam" : "muon"), { adam: scaleByAdam(), muon: scaleByMuon() });
 */
export function partition<L extends string>(
  labelOf: (path: Path, param: Tensor) => L,
  parts: { readonly [label in L]: GradientTransformation },
): GradientTransformation<{ readonly [label: string]: OptState }> {
  const entries = Object.entries<GradientTransformation>(parts);
  const only = (tensors: TensorMap, params: TensorMap, label: string): TensorMap =>
    Object.fromEntries(Object.entries(tensors).filter(([path]) => labelOf(path, params[path]!) === label));
  return {
    init: (params) =>
      Object.fromEntries(entries.map(([label, part]) => [label, part.init(only(params, params, label))])),
    update: (gradients, state, params) => {
      const results = entries.map(
        ([label, part]) =>
          [label, part.update(only(gradients, params, label), state[label]!, only(params, params, label))] as const,
      );
      const updates: TensorMap = Object.assign({}, ...results.map(([, result]) => result.updates)) as TensorMap;
      return {
        // In the order they came in.
        updates: mapTensors(gradients, (_, path) => updates[path]!),
        state: Object.fromEntries(results.map(([label, result]) => [label, result.state])),
      };
    },
  };
}

/** The parameters after a step: `p + update`. */
export function applyUpdates(params: TensorMap, updates: TensorMap): TensorMap {
  return mapTensors(params, (param, path) => {
    const update = updates[path];
    if (update === undefined) throw new ArgumentError("applyUpdates", `there is no update for \`${path}\``);
    return param.add(update);
  });
}

/** A map with each Tensor replaced. */
export function mapTensors(tensors: TensorMap, fn: (value: Tensor, path: Path) => Tensor): TensorMap {
  return Object.fromEntries(Object.entries(tensors).map(([path, value]) => [path, fn(value, path)]));
}

/** Several maps of the same paths from one pass over the first: `[updates, moments]`. */
export function mapTensorsTo<N extends string>(
  tensors: TensorMap,
  names: readonly N[],
  fn: (value: Tensor, path: Path) => { readonly [name in N]: Tensor },
): { readonly [name in N]: TensorMap } {
  const results = Object.entries(tensors).map(([path, value]) => [path, fn(value, path)] as const);
  const column = (name: N): TensorMap => Object.fromEntries(results.map(([path, result]) => [path, result[name]]));
  return Object.fromEntries(names.map((name) => [name, column(name)])) as { [name in N]: TensorMap };
}
