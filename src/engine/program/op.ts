// The op record: everything the system knows about one operation, in one place.
import type { HostArray, TensorType, Tree } from "../core/index.ts";
import type { Equation, Program } from "./program.ts";
import type { Value } from "./value.ts";

/** One attribute of an equation: plain data, arrays for constants, programs for control flow. */
export type Attr = undefined | null | boolean | number | string | HostArray | Program | readonly Attr[] | AttrRecord;
export interface AttrRecord {
  readonly [name: string]: Attr;
}

/** The static arguments of an op. Written as a `type`, so that each op names its own. */
export type Attrs = object;

/** The numbers of one value on the reference backend: float64 whatever the dtype (bool is 0 or 1). */
export type Numbers = Float64Array;

/** What a gradient rule is given. Cotangents of integer or unused outputs are `undefined`. */
export interface VjpContext<A extends Attrs> {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly cts: readonly (Value | undefined)[];
  readonly attrs: A;
}

/** Cotangents of the inputs, `undefined` where an input has none. */
export type VjpRule<A extends Attrs> = (context: VjpContext<A>) => readonly (Value | undefined)[];

/** Splits a program for rules of ops that hold one (scan, checkpoint); given as an argument so that ops never import transform. */
export interface Differentiator {
  /**
   * Forward: inputs → outputs, then residuals. Backward: inputs, residuals, cotangents of the float outputs →
   * cotangents of the inputs named (zeros where an input has no influence).
   */
  linearize(program: Program, wrt: readonly number[]): { forward: Program; backward: Program; residuals: number };
}

/** A forward that keeps what the backward needs: for ops that cannot say their gradient from inputs and outputs alone. */
export type LinearizeRule<A extends Attrs> = (context: {
  readonly inputs: readonly Value[];
  /** Which inputs need a cotangent; the others may get `undefined`. */
  readonly wanted: readonly boolean[];
  readonly attrs: A;
  readonly differentiator: Differentiator;
}) => { outputs: readonly Value[]; pullback: (cts: readonly (Value | undefined)[]) => readonly (Value | undefined)[] };

/** What shared code may ask of an op instead of its name. */
export interface Traits {
  /** elementwise: same shape in and out · layout: moves elements · the others by their meaning. */
  readonly kind:
    "create" | "elementwise" | "layout" | "reduce" | "contract" | "index" | "sort" | "random" | "control" | "fused";
  /** Whether `a op b = b op a`. */
  readonly commutative?: boolean;
  /** Whether `checkpoint` should compute it again rather than keep it. */
  readonly recompute?: "cheap" | "costly";
  /** Never merged, folded or moved: barriers. */
  readonly opaque?: boolean;
}

/** How a test draws one input: values in `[low, high]`; integers where the dtype is an integer. */
export interface SampleInput extends TensorType {
  readonly low?: number;
  readonly high?: number;
  /** Exact numbers instead of random ones. */
  readonly values?: readonly number[];
  /** All elements differ by at least 1e-3 (sort, max: gradients exist only where nothing ties). */
  readonly distinct?: boolean;
}

/** One case every generated test runs: inputs and attributes. */
export interface Sample<A extends Attrs> {
  readonly inputs: readonly SampleInput[];
  readonly attrs: A;
  /** Inputs whose gradient is checked; all float inputs unless said. */
  readonly wrt?: readonly number[];
}

/** A case that must be refused, with a part of the message. */
export interface ErrorSample<A extends Attrs> {
  readonly inputs: readonly SampleInput[];
  readonly attrs: A;
  readonly message: string | RegExp;
}

/** What a simplification may look at. */
export interface SimplifyContext<A extends Attrs> {
  readonly inputs: readonly Value[];
  readonly attrs: A;
  readonly producer: (value: Value) => Equation | undefined;
  /** Whether nothing else reads this input: what made it may be made otherwise. */
  readonly alone: (input: number) => boolean;
}

/** A repeated program: body(consts, carries, slices of xs) → (carries, slices of ys). */
export interface LoopBody {
  readonly body: Program;
  readonly consts: number;
  readonly carries: number;
  readonly length: number;
  /** Last slice first. */
  readonly reverse: boolean;
}

/** The record. `evaluate` is its meaning in float64, or `decompose` where it is a composite of other ops. */
export interface OpRecord<A extends Attrs = Attrs> {
  readonly name: string;
  /** One sentence with the formula in backticks. */
  readonly doc: string;
  readonly traits: Traits;
  /** Types of the outputs; throws ShapeError, DtypeError or ArgumentError for inputs it refuses. */
  readonly shape: (types: readonly TensorType[], attrs: A) => readonly TensorType[];
  readonly evaluate?: (inputs: readonly Numbers[], attrs: A, types: EvaluateTypes) => readonly Numbers[];
  readonly decompose?: (inputs: readonly Value[], attrs: A) => readonly Value[];
  readonly vjp?: VjpRule<A>;
  readonly linearize?: LinearizeRule<A>;
  /** Smaller or cheaper values of the same meaning, if the op sees a way; `producer` tells what made a value. */
  readonly simplify?: (context: SimplifyContext<A>) => readonly Value[] | undefined;
  /** The same result with its last two axes exchanged, where that costs no more. */
  readonly exchanged?: (inputs: readonly Value[], attrs: A) => Value;
  /** The result plus an array of its type, where that costs less than an addition of its own. */
  readonly addedTo?: (base: Value, inputs: readonly Value[], attrs: A) => Value;
  /** Set where the op repeats a program over slices: the compiler makes a loop of it. */
  readonly loop?: (attrs: A) => LoopBody;
  /** True where no output can carry a gradient (comparisons, argmax, random bits). */
  readonly nondifferentiable?: boolean;
  readonly samples: readonly Sample<A>[];
  readonly errors: readonly ErrorSample<A>[];
  /** Tolerance of the f32 backends relative to the reference where sums make it grow: number of terms. */
  readonly terms?: (types: readonly TensorType[], attrs: A) => number;
}

export interface EvaluateTypes {
  readonly inputs: readonly TensorType[];
  readonly outputs: readonly TensorType[];
}

// Method syntax in parameters would be bivariant; one cast here keeps every record precisely typed instead.
/** Any op, its attributes erased. */
export type Op = OpRecord<never>;

/** Erases the attribute type of a record. */
export function anyOp<A extends Attrs>(record: OpRecord<A>): Op {
  return record as unknown as Op;
}

/** Trees of values, as functions take and return them. */
export type ValueTree = Tree<Value>;
