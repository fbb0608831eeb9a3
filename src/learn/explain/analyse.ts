// From recorded calls to layers: which calls are shown, what role each plays, where its z is, and what it feeds.
import type { Value } from "../../engine/program/index.ts";
import type { LayerRole } from "./explanation.ts";
import type { AnyModule, Call, Recorded } from "./record.ts";
import { dependents, isAffine, isElementwise, lastMeeting, operationNames, sliceOf } from "./slice.ts";

/** A parameter of a layer: its place in the model and in the program. */
export interface LayerParameter {
  readonly name: string;
  readonly path: string;
  readonly value: Value;
  readonly trained: boolean;
  readonly regularized: boolean;
}

/** A layer found in a recorded forward pass. */
export interface Layer {
  readonly path: string;
  readonly kind: string;
  readonly role: LayerRole;
  readonly number: number;
  readonly from: readonly number[];
  readonly inputs: readonly Value[];
  readonly z: Value | undefined;
  readonly output: Value;
  /** Whether the activation function has one derivative for each number. */
  readonly elementwise: boolean;
  readonly nonlinearity: string | null;
  readonly operations: readonly string[];
  readonly parameters: readonly LayerParameter[];
  readonly notes: readonly string[];
}

/** What reads a layer's output: other layers by position, and whether the loss does directly. */
export interface Readers {
  readonly layers: readonly number[];
  readonly loss: boolean;
}

/** The layers of a forward pass, in order of their calls. */
export function analyse(recorded: Recorded, model: AnyModule): Layer[] {
  const { program, calls, paths } = recorded;
  const named = model.parameters();
  const parameterValue = new Map(paths.map((path, i) => [path, program.inputs[i]!]));
  const samples = program.inputs.slice(paths.length);
  const numbers = new Map<Value, number>(samples.map((value) => [value, 0]));
  const seen = new Map<string, number>();
  let next = 1;
  const layers: Layer[] = [];
  const read = new Set(program.equations.flatMap(({ inputs }) => inputs));
  for (const call of calls) {
    const below = calls.filter(({ module, path }) => module !== call.module && isBelow(path, call.path));
    const theirs = new Set(below.flatMap(({ module }) => module.parameters().map(({ parameter }) => parameter)));
    // Its own, and those of parts that run inside its loops; parameters nothing reads belong to nobody.
    const own = new Set(
      call.module.parameters().flatMap(({ parameter }) => (theirs.has(parameter) ? [] : [parameter])),
    );
    const mine = named.filter(({ parameter, path }) => own.has(parameter) && read.has(parameterValue.get(path)!));
    if (mine.length === 0 && below.length > 0) continue; // a container: its parts are shown
    const output = call.outputs[0];
    if (output === undefined) continue;
    const parameters = mine.map(({ path, parameter, trainable }): LayerParameter => ({
      name: isBelow(path, call.path) ? path.slice(call.path === "" ? 0 : call.path.length + 1) : parameter.name,
      path,
      value: parameterValue.get(path)!,
      trained: trainable && parameter.dtype === "float32",
      regularized: parameter.regularizer !== undefined,
    }));
    const found = roleOf(recorded, call, { parameters, output });
    // What the model computes between its layers counts as coming from the last layer it depends on.
    const between = call.inputs.some((value) => !numbers.has(value));
    const from = call.inputs.map((value) => {
      const { reached } = sliceOf(program, [...numbers.keys()], value);
      return Math.max(0, ...[...reached].map((known) => numbers.get(known)!));
    });
    const number = found.role === "layout" ? (from[0] ?? 0) : next++;
    if (!numbers.has(output)) numbers.set(output, number);
    const times = (seen.get(call.path) ?? 0) + 1;
    seen.set(call.path, times);
    layers.push({
      path: (call.path === "" ? "model" : call.path) + (times === 1 ? "" : `#${times}`),
      kind: kindOf(call.module),
      number,
      from,
      inputs: call.inputs,
      output,
      parameters,
      ...found,
      notes: notesOf(call, { parameters, role: found.role, again: times > 1, between }),
    });
  }
  return layers;
}

const isBelow = (path: string, above: string): boolean => path.startsWith(above === "" ? "" : `${above}.`);

type Found = Pick<Layer, "role" | "z" | "elementwise" | "nonlinearity" | "operations">;

function roleOf(
  { program }: Recorded,
  call: Call,
  { parameters, output }: { parameters: readonly LayerParameter[]; output: Value },
): Found {
  const weights = parameters.map(({ value }) => value);
  const { equations, reached } = sliceOf(program, [...call.inputs, ...weights], output);
  const operations = operationNames(equations);
  const input = call.inputs[0];
  const used = parameters.filter(({ value }) => reached.has(value));
  const plain = call.inputs.length === 1 && call.outputs.length === 1 && input !== undefined;
  const other: Found = { role: "other", z: undefined, elementwise: false, nonlinearity: null, operations };
  if (!plain) return other;
  if (used.length === 0) {
    const live = dependents(equations, [input]);
    const moving = equations.filter(({ inputs }) => inputs.some((value) => live.has(value)));
    if (moving.every(({ op }) => op.traits.kind === "layout")) return { ...other, role: "layout" };
    const elementwise = isElementwise(equations, input);
    const softmax = equations.length === 1 && equations[0]!.op.name === "softmax";
    return elementwise || softmax
      ? { ...other, role: "activation", elementwise, nonlinearity: activationName(call.module, operations) }
      : other;
  }
  const z = lastMeeting(program, { inputs: call.inputs, parameters: weights, output });
  if (z === undefined) return other;
  const tail = sliceOf(program, [z], output).equations;
  const elementwise = tail.length > 0 && isElementwise(tail, z);
  const nonlinearity = tail.length === 0 ? null : activationName(call.module, operationNames(tail));
  const kernel = used.find(({ value }) => value.shape.length === 2);
  const bias = used.find((one) => one !== kernel);
  const dense =
    kernel !== undefined &&
    used.length <= 2 &&
    isAffine(program, { input, kernel: kernel.value, bias: bias?.value, z });
  return { role: dense ? "dense" : "other", z, elementwise, nonlinearity, operations };
}

/** Which layers, and whether the loss, read the output (or, for the loss, also the z) of each layer. */
export function readersOf({ program, data }: Recorded, layers: readonly Layer[]): Map<Value, Readers> {
  const places = [...new Set(layers.flatMap(({ output, z }) => (z === undefined ? [output] : [z, output])))];
  const { reached } = sliceOf(program, places, data);
  return new Map(
    places.map((value) => [
      value,
      { layers: layers.flatMap(({ inputs }, i) => (inputs.includes(value) ? [i] : [])), loss: reached.has(value) },
    ]),
  );
}

function kindOf(module: AnyModule): string {
  return "kind" in module && typeof module.kind === "string" ? module.kind : module.constructor.name;
}

// The name in the layer's configuration, else that of the only operation.
function activationName(module: AnyModule, operations: readonly string[]): string {
  const config: unknown = "config" in module ? module.config : undefined;
  const given: unknown =
    typeof config === "object" && config !== null && "activation" in config ? config.activation : undefined;
  const name =
    typeof given === "string"
      ? given
      : typeof given === "object" && given !== null && "name" in given
        ? String(given.name)
        : operations.length === 1
          ? operations[0]!
          : "σ";
  return name.replace(/^custom:/, "");
}

function notesOf(
  { outputs }: Call,
  layer: {
    readonly parameters: readonly LayerParameter[];
    readonly role: LayerRole;
    readonly again: boolean;
    readonly between: boolean;
  },
): string[] {
  const { parameters, role, again, between } = layer;
  const notes: string[] = [];
  if (between) notes.push("its input is computed by the model between its layers");
  if (outputs.length > 1) notes.push(`the layer gives ${outputs.length} arrays; the first is shown`);
  if (again) notes.push("the layer is used more than once: the gradients of its parameters are sums over all its uses");
  const penalized = parameters.filter(({ regularized, trained }) => regularized && trained).map(({ name }) => name);
  if (penalized.length > 0) notes.push(`the gradient of ${penalized.join(", ")} contains the slope of its penalty`);
  if (role === "other") notes.push("no formula by hand is given for this layer: its operations and numbers are shown");
  return notes;
}
