// Programs of the loop kernel: values written one by one, then put in an order that suits its accumulator.
import { isFloat, type DType } from "../../../core/index.ts";
import { floatBits } from "../../../plan/index.ts";
import type { KernelSpec, LowerContext } from "../../backend.ts";
import { arrange, encode, type LoopNode, type LoopStore, type StreamKind } from "./loop-code.ts";
import { sizeOf, type LowerTarget } from "./lowering.ts";

/** A value of a loop program; each is written once. */
export type Register = number;

const streamOf = (dtype: DType): StreamKind => (dtype === "bool" ? "byte" : dtype === "bfloat16" ? "half" : "word");
const scalars: { readonly [kind in StreamKind]: string } = {
  word: "wordScalar",
  byte: "boolScalar",
  half: "halfScalar",
};

/** Writes the program of one loop kernel over the elements of the op's outputs. */
export class LoopProgram {
  readonly #target: LowerTarget;
  readonly #context: LowerContext<never>;
  readonly #size: number;
  readonly #nodes: LoopNode[] = [];
  readonly #stores: LoopStore[] = [];
  /** Inputs that are read from memory, in the order of the kernel's operands. */
  readonly #reads: number[] = [];
  /** Those of which the one element is enough. */
  readonly #singles = new Set<number>();
  readonly #loaded = new Map<string, Register>();

  /** `size`: elements of the program, where the first output is a sum of them. */
  constructor(context: LowerContext<never>, target: LowerTarget, size: number = sizeOf(context.outputs[0]!.shape)) {
    this.#context = context;
    this.#target = target;
    this.#size = size;
  }

  /** Input `i`, element by element; one of a single element is read once, a known number not at all. */
  load(i: number): Register {
    return this.#once(`load ${i}`, () => {
      const type = this.#context.inputs[i]!;
      const known = this.#context.constants?.[i];
      if (known !== undefined) return isFloat(type.dtype) ? this.float(known) : this.int(known);
      const operand = this.#operand(i);
      const single = this.#context.single?.[i] ?? sizeOf(type.shape) === 1;
      const kind = streamOf(type.dtype);
      if (single && this.#size !== 1) {
        this.#singles.add(i);
        return this.#add({ kind: "constant", name: scalars[kind], word: operand });
      }
      const stream = this.#add({ kind, operand });
      if (kind === "word") return stream;
      return this.#add({ kind: "op", name: kind === "byte" ? "loadBool" : "loadHalf", sources: [stream] });
    });
  }

  /** Element `⌊index / inner⌋ mod period` of input `i`. */
  repeat(i: number, { inner, period }: { readonly inner: number; readonly period: number }): Register {
    const constant = this.#context.constants?.[i] !== undefined || this.#context.single?.[i] === true || period === 1;
    if (constant) return this.load(i);
    return this.#once(`repeat ${i} ${inner} ${period}`, () => {
      const name = this.#context.inputs[i]!.dtype === "bool" ? "boolRepeat" : "wordRepeat";
      return this.#add({ kind: "repeat", name, operand: this.#operand(i), inner, period });
    });
  }

  /** Random words of the key that is input `i`: word number `index` of its stream for each element. */
  random(i: number): Register {
    return this.#once(`random ${i}`, () =>
      this.#add({ kind: "repeat", name: "randomRepeat", operand: this.#operand(i), inner: 0, period: 0 }),
    );
  }

  /** A float32 constant. */
  float(x: number): Register {
    return this.int(floatBits(x));
  }

  /** An int32 constant. */
  int(x: number): Register {
    return this.#once(`immediate ${x | 0}`, () => this.#add({ kind: "constant", name: "immediate", word: x | 0 }));
  }

  /** An instruction on values. */
  op(name: string, ...sources: Register[]): Register {
    if (name === "mul" && sources[0] === sources[1])
      return this.#add({ kind: "op", name: "square", sources: [sources[0]!] });
    return this.#add({ kind: "op", name, sources });
  }

  /** Output `o` is this value, or is made from it by the kernel: then it has memory of its own. */
  store(o: number, register: Register, { own = false }: { readonly own?: boolean } = {}): void {
    this.#stores.push({ output: o, node: register, kind: streamOf(this.#context.outputs[o]!.dtype), own });
  }

  /** The kernel. An output may take the memory of an input that is not read any more when the output is written. */
  lowered(): KernelSpec {
    const { inputs } = this.#context;
    const same = (operand: number): boolean => sizeOf(inputs[this.#reads[operand]!]!.shape) === this.#size;
    const arranged = arrange(this.#nodes, this.#stores, same);
    return {
      kernel: "loop",
      params: encode(this.#nodes, arranged, { size: this.#size, reads: this.#reads.length, target: this.#target }),
      reads: this.#reads,
      singles: [...this.#singles],
      flops: this.#size * this.#nodes.filter(({ kind }) => kind === "op").length,
      inplace: arranged.inplace,
    };
  }

  #operand(i: number): number {
    const operand = this.#reads.indexOf(i);
    return operand < 0 ? this.#reads.push(i) - 1 : operand;
  }

  #once(key: string, make: () => Register): Register {
    const before = this.#loaded.get(key);
    if (before !== undefined) return before;
    const register = make();
    this.#loaded.set(key, register);
    return register;
  }

  #add(node: LoopNode): Register {
    return this.#nodes.push(node) - 1;
  }
}
