// Tracing: running a function on values without numbers while a builder writes down each op it applies.
import { formatType, TraceError, type TensorType } from "../core/index.ts";
import type { Attrs, OpRecord } from "./op.ts";
import { Program, type Equation } from "./program.ts";
import { Value } from "./value.ts";

/** What a trace produced: the program, and the outside values it refers to, as further inputs behind the declared ones. */
export interface Traced {
  readonly program: Program;
  /** One for each input of the program after the declared ones. */
  readonly captured: readonly Value[];
}

/** Writes equations down. One is open for each trace under way; they nest. */
export class Builder {
  readonly parent: Builder | undefined;
  readonly equations: Equation[] = [];
  readonly inputs: Value[] = [];
  readonly captured: Value[] = [];
  readonly #lifted = new Map<Value, Value>();
  /** Values of the program that is continued. */
  readonly #resumed = new Set<Value>();
  #next = 0;

  constructor(parent: Builder | undefined, resumed?: Program) {
    this.parent = parent;
    if (resumed === undefined) return;
    for (const value of resumed.inputs) this.#resume(value);
    for (const { outputs } of resumed.equations) for (const value of outputs) this.#resume(value);
  }

  #resume(value: Value): void {
    this.#resumed.add(value);
    this.#next = Math.max(this.#next, value.id + 1);
  }

  /** Whether a value is one of this trace, and none of those around it. */
  owns(value: Value): boolean {
    return value.owner === this || this.#resumed.has(value);
  }

  value(type: TensorType): Value {
    return new Value(this, this.#next++, type);
  }

  input(type: TensorType): Value {
    const value = this.value(type);
    this.inputs.push(value);
    return value;
  }

  /** A value of an outer trace becomes an input of this one. */
  lift(value: Value): Value {
    if (this.owns(value)) return value;
    const known = this.#lifted.get(value);
    if (known !== undefined) return known;
    if (!isOpen(value)) {
      throw new TraceError("trace", `a value of a finished trace was used: received ${formatType(value)}`, {
        hint: "return it from the traced function instead of keeping it in a variable outside",
      });
    }
    const inner = this.value(value);
    this.inputs.push(inner);
    this.captured.push(value);
    this.#lifted.set(value, inner);
    return inner;
  }

  emit<A extends Attrs>(op: OpRecord<A>, inputs: readonly Value[], attrs: A): readonly Value[] {
    const own = inputs.map((value) => this.lift(value));
    const outputs = op.shape(own, attrs).map((type) => this.value(type));
    this.equations.push({ op: op as never, inputs: own, attrs: attrs as never, outputs });
    return outputs;
  }
}

let current: Builder | undefined;

function isOpen(value: Value): boolean {
  for (let builder = current; builder !== undefined; builder = builder.parent) if (builder.owns(value)) return true;
  return false;
}

/** The innermost open trace, if any. */
export function currentTrace(): Builder | undefined {
  return current;
}

/**
 * Runs `fn` on fresh values of the given types and returns the program it wrote.
 * Values of enclosing traces that `fn` uses are captured as further inputs.
 */
export function trace(types: readonly TensorType[], fn: (inputs: readonly Value[]) => readonly Value[]): Traced {
  const builder = new Builder(current);
  current = builder;
  try {
    const inputs = types.map((type) => builder.input(type));
    const outputs = fn(inputs).map((value) => builder.lift(value));
    // Captured inputs follow the declared ones, in the order of first use.
    return { program: new Program(builder.inputs, builder.equations, outputs), captured: builder.captured };
  } finally {
    current = builder.parent;
  }
}

/**
 * Opens the trace of a program again: `fn` may use its values, and writes a new list of equations from the start.
 * Equations that are kept are written down as they are, so that only what changes costs anything.
 */
export function resume(program: Program, fn: (builder: Builder) => readonly Value[]): Program {
  const builder = new Builder(current, program);
  current = builder;
  try {
    return new Program(program.inputs, builder.equations, fn(builder));
  } finally {
    current = builder.parent;
  }
}

/** Applies an op in the open trace: the only way an equation comes to be. */
export function bind<A extends Attrs>(op: OpRecord<A>, inputs: readonly Value[], attrs: A): readonly Value[] {
  if (current === undefined) {
    throw new TraceError(op.name, "applied to program values outside a trace", {
      hint: "call it on Tensors, or inside trace(), jit() or grad()",
    });
  }
  return current.emit(op, inputs, attrs);
}

/** `bind` for ops with one output. */
export function bind1<A extends Attrs>(op: OpRecord<A>, inputs: readonly Value[], attrs: A): Value {
  return bind(op, inputs, attrs)[0]!;
}

/** Writes a program into the open trace with its inputs replaced by `args`. */
export function inline(program: Program, args: readonly Value[]): Value[] {
  const env = new Map<Value, Value>();
  program.inputs.forEach((input, i) => env.set(input, args[i]!));
  const read = (value: Value): Value => env.get(value)!;
  for (const { op, inputs, attrs, outputs } of program.equations) {
    const results = bind(op, inputs.map(read), attrs);
    outputs.forEach((output, i) => env.set(output, results[i]!));
  }
  return program.outputs.map(read);
}
