// Module: a tree of named parameters and a forward function. Layers declare parameters where they use them.
import {
  ArgumentError,
  ChainruleError,
  isPlainObject,
  join,
  sameShape,
  ShapeError,
  sizeOf,
  type Path,
  type Shape,
  type TensorType,
} from "../../engine/core/index.ts";
import { random, traceProgram, zeros, type Tensor } from "../../engine/tensor/index.ts";
import { inference, type Context } from "./context.ts";
import { Parameter, type Initializer, type ParameterKind, type ParameterOptions } from "./parameter.ts";
import { currentScope, withScope, type Scope } from "./scope.ts";

/** Values of parameters by path: what a checkpoint or a safetensors file holds. */
export type NamedTensors = { readonly [path: Path]: Tensor };

/** A parameter with its path and whether it is trained, its own flag and those of the modules above it considered. */
export interface NamedParameter {
  readonly path: Path;
  readonly parameter: Parameter;
  readonly trainable: boolean;
}

/**
 * A part of a network. Subclasses write `forward`; others call `call`.
 * Submodules are found in the fields of the instance (also inside arrays and plain objects), by field name.
 *
 * @example
 * class Perceptron extends Module {
 *   readonly hidden = dense(32, { activation: "relu" });
 *   readonly out = dense(1);
 *   forward(x: Tensor, context: Context): Tensor {
 *     return this.out.call(this.hidden.call(x, context), context);
 *   }
 * }
 */
export abstract class Module<Input = Tensor, Output = Tensor> {
  /** False freezes everything below. */
  trainable: boolean = true;
  readonly #own = new Map<string, Parameter>();

  /** The computation. Declare parameters with `this.param` and `this.state`. */
  protected abstract forward(input: Input, context: Context): Output;

  /** Runs `forward`; errors on the way up learn where they happened. */
  call(input: Input, context: Context = inference): Output {
    const scope = currentScope();
    const above = scope?.frozen ?? false;
    if (scope !== undefined) scope.frozen = above || !this.trainable;
    try {
      const output = this.forward(input, context);
      scope?.onCall?.(this, input, output);
      return output;
    } catch (error) {
      const path = scope?.paths.get(this);
      if (error instanceof ChainruleError && error.path.length === 0)
        error.within(path === undefined || path === "" ? this.constructor.name : path);
      throw error;
    } finally {
      if (scope !== undefined) scope.frozen = above;
    }
  }

  /** Whether this module is frozen in the present call, itself or by a module above it. */
  protected get frozen(): boolean {
    return !this.trainable || (currentScope()?.frozen ?? false);
  }

  /** A trained parameter, declared at its first use; its value in the present call. */
  protected param(name: string, shape: Shape, initializer: Initializer, options: ParameterOptions = {}): Tensor {
    return this.#read(this.#declare(name, "weight", { shape, initializer, ...options }));
  }

  /** A parameter that is carried along, not trained; its value in the present call. */
  protected state(name: string, shape: Shape, initializer: Initializer, options: ParameterOptions = {}): Tensor {
    return this.#read(this.#declare(name, "state", { shape, initializer, ...options }));
  }

  /** Gives a state its next value; it takes effect when the call is over. */
  protected setState(name: string, value: Tensor): void {
    const parameter = this.#own.get(name);
    if (parameter?.kind !== "state")
      throw new ArgumentError(name, "is not a state of this module: received a value for it");
    const scope = currentScope();
    if (scope === undefined) parameter.value = value;
    else scope.states.set(parameter, value);
  }

  #declare(
    name: string,
    kind: ParameterKind,
    spec: { shape: Shape; initializer: Initializer } & ParameterOptions,
  ): Parameter {
    const known = this.#own.get(name);
    if (known === undefined) {
      const parameter = new Parameter(name, kind, spec);
      this.#own.set(name, parameter);
      return parameter;
    }
    if (!sameShape(known.shape, spec.shape)) {
      throw new ShapeError(
        name,
        `was made for other inputs: it is [${known.shape.join(",")}], this input needs [${spec.shape.join(",")}]`,
        {
          hint: "a layer keeps the input size of its first call; make a second layer for another size",
        },
      );
    }
    return known;
  }

  #read(parameter: Parameter): Tensor {
    const scope = currentScope();
    if (scope === undefined) return parameter.value;
    if (scope.values === undefined) return parameter.ready ? parameter.value : zeros(parameter.shape, parameter.dtype);
    return scope.states.get(parameter) ?? scope.values.get(parameter) ?? parameter.value;
  }

  // ── the tree ───────────────────────────────────────────────────────────────

  /** The modules directly below, by field name. */
  children(): [string, Module<never, unknown>][] {
    const found: [string, Module<never, unknown>][] = [];
    const visit = (node: unknown, path: string): void => {
      if (node instanceof Module) found.push([path, node as Module<never, unknown>]);
      else if (Array.isArray(node)) node.forEach((child, i) => visit(child, join(path, String(i))));
      else if (isPlainObject(node)) for (const [key, child] of Object.entries(node)) visit(child, join(path, key));
    };
    for (const [field, value] of Object.entries(this)) visit(value, field);
    return found;
  }

  /** This module and all below it, by path; a module used twice appears once. */
  modules(): [Path, Module<never, unknown>][] {
    const seen = new Set<unknown>();
    const found: [Path, Module<never, unknown>][] = [];
    const visit = (module: Module<never, unknown>, path: Path): void => {
      if (seen.has(module)) return;
      seen.add(module);
      found.push([path, module]);
      for (const [name, child] of module.children()) visit(child, join(path, name));
    };
    visit(this, "");
    return found;
  }

  /** Every parameter by path, in a fixed order. */
  parameters(): NamedParameter[] {
    const seen = new Set<unknown>();
    const found: NamedParameter[] = [];
    const visit = (module: Module<never, unknown>, path: Path, trainable: boolean): void => {
      if (seen.has(module)) return;
      seen.add(module);
      const live = trainable && module.trainable;
      for (const parameter of module.#own.values())
        found.push({ path: join(path, parameter.name), parameter, trainable: live && parameter.trainable });
      for (const [name, child] of module.children()) visit(child, join(path, name), live);
    };
    visit(this, "", true);
    return found;
  }

  /** Values of all parameters by path. */
  tensors(): NamedTensors {
    return Object.fromEntries(this.parameters().map(({ path, parameter }) => [path, parameter.value]));
  }

  /** Sets values by path; refuses missing and unexpected names, with the list. */
  load(values: NamedTensors): void {
    const own = this.parameters();
    const missing = own.filter(({ path }) => !(path in values)).map(({ path }) => path);
    const extra = Object.keys(values).filter((path) => !own.some((one) => one.path === path));
    if (missing.length > 0 || extra.length > 0) {
      throw new ArgumentError(
        "load",
        `the names do not match: missing [${missing.join(", ")}], unexpected [${extra.join(", ")}]`,
      );
    }
    for (const { path, parameter } of own) parameter.value = values[path]!;
  }

  /** Number of elements of all weights, or of the trained ones. */
  count(options: { readonly trainable?: boolean } = {}): number {
    return this.parameters()
      .filter((one) => one.parameter.kind === "weight" && (options.trainable !== true || one.trainable))
      .reduce((n, { parameter }) => n + sizeOf(parameter.shape), 0);
  }

  // ── initialization and pure calls ──────────────────────────────────────────

  /**
   * Declares the parameters by tracing one call on inputs of these types, then gives those without a value their first one.
   * Parameter number i gets the key folded with i, so that a seed fixes every weight.
   * Without inputs, the parameters are those declared already (by `apply`, `trace` or an earlier call).
   */
  init(key: Tensor | number, ...inputs: readonly TensorType[]): this {
    if (inputs.length > 0) this.trace(inputs);
    const root = typeof key === "number" ? random.key(key) : key;
    this.parameters().forEach(({ parameter }, i) => {
      if (!parameter.ready) parameter.value = parameter.initializer(random.foldIn(root, i), parameter.shape);
    });
    return this;
  }

  /**
   * Traces one call without numbers: declares parameters and reports each module's input and output to `onCall`.
   * `single` false hands one input in as an array of one.
   */
  trace(
    inputs: readonly TensorType[],
    onCall?: Scope["onCall"],
    { single = inputs.length === 1 }: { readonly single?: boolean } = {},
  ): void {
    const placeholders = inputs.map((type) => zeros(type.shape, type.dtype));
    traceProgram(
      (...values: readonly Tensor[]) => {
        const scope: Scope = { values: undefined, states: new Map(), paths: this.#paths(), onCall };
        withScope(scope, () => this.call((single ? values[0] : values) as Input));
        return [];
      },
      ...placeholders,
    );
  }

  /**
   * A pure call: parameters have the values given (their own where not listed; bfloat16 as float32), and nothing of the module changes.
   * Returns the output and the values of all states afterwards. `onCall` hears of each module's input and output.
   */
  pure(
    values: NamedTensors,
    input: Input,
    context: Context,
    { onCall }: { readonly onCall?: Scope["onCall"] } = {},
  ): { output: Output; states: NamedTensors } {
    const own = this.parameters();
    const bound = new Map<Parameter, Tensor>();
    for (const { path, parameter } of own) {
      const value = values[path];
      if (value !== undefined) bound.set(parameter, value.dtype === "bfloat16" ? value.cast("float32") : value);
    }
    const scope: Scope = { values: bound, states: new Map(), paths: this.#paths(), onCall };
    const output = withScope(scope, () => this.call(input, context));
    const states: { [path: Path]: Tensor } = {};
    for (const { path, parameter } of own) {
      if (parameter.kind === "state")
        states[path] = scope.states.get(parameter) ?? bound.get(parameter) ?? parameter.value;
    }
    return { output, states };
  }

  #paths(): ReadonlyMap<Module<never, unknown>, Path> {
    return new Map(this.modules().map(([path, module]) => [module, path]));
  }
}

/** The sum of all penalties of a module's parameters, `undefined` where there are none. */
export function regularization(module: Module<never, unknown>, values: NamedTensors): Tensor | undefined {
  let total: Tensor | undefined;
  for (const { path, parameter } of module.parameters()) {
    const penalty = parameter.regularizer?.(values[path] ?? parameter.value);
    if (penalty !== undefined) total = total === undefined ? penalty : total.add(penalty);
  }
  return total;
}
