// Programs of the loop kernel, written register by register.
import { floatBits } from "../../../plan/index.ts";
import type { LowerContext, Lowered } from "../../backend.ts";
import { sizeOf, type LowerTarget } from "./lowering.ts";

/** A register of a loop program; each is written once. The kernel's own registers are fewer and used again. */
export type Register = number;

interface Instruction {
  readonly name: string;
  readonly result: Register;
  /** Registers read, in the order of the instruction's operands. */
  readonly sources: readonly Register[];
  /** Operands that are no registers: bits, numbers of memory operands, sizes. */
  readonly words: readonly number[];
}

const WORDS = 5;

/** Writes the program of one loop kernel over the elements of the op's outputs. */
export class LoopProgram {
  readonly #target: LowerTarget;
  readonly #context: LowerContext<never>;
  readonly #size: number;
  /** Run once: numbers and single elements. */
  readonly #prologue: Instruction[] = [];
  readonly #body: Instruction[] = [];
  readonly #stores: { readonly output: number; readonly register: Register }[] = [];
  /** Inputs that are read from memory, in the order of the kernel's operands. */
  readonly #reads: number[] = [];
  /** Those of which the one element is enough, and those that are read in another order than they lie. */
  readonly #singles = new Set<number>();
  readonly #repeated = new Set<number>();
  readonly #loaded = new Map<number, Register>();
  #registers = 0;

  constructor(context: LowerContext<never>, target: LowerTarget) {
    this.#context = context;
    this.#target = target;
    this.#size = sizeOf(context.outputs[0]!.shape);
  }

  /** Input `i`, element by element; one of a single element is read once, a known number not at all. */
  load(i: number): Register {
    const before = this.#loaded.get(i);
    if (before !== undefined) return before;
    const register = this.#load(i);
    this.#loaded.set(i, register);
    return register;
  }

  #load(i: number): Register {
    const type = this.#context.inputs[i]!;
    const known = this.#context.constants?.[i];
    if (known !== undefined) return type.dtype === "float32" ? this.float(known) : this.int(known);
    const operand = this.#operand(i);
    const single = this.#context.single?.[i] ?? sizeOf(type.shape) === 1;
    const kind = type.dtype === "bool" ? "Bool" : "Word";
    if (!single || this.#size === 1) return this.#emit(this.#body, `load${kind}`, { words: [operand] });
    this.#singles.add(i);
    return this.#emit(this.#prologue, `load${kind}Scalar`, { words: [operand] });
  }

  /** Element `⌊index / inner⌋ mod period` of input `i`. */
  repeat(i: number, { inner, period }: { readonly inner: number; readonly period: number }): Register {
    const constant = this.#context.constants?.[i] !== undefined || this.#context.single?.[i] === true || period === 1;
    if (constant) return this.load(i);
    this.#repeated.add(i);
    const kind = this.#context.inputs[i]!.dtype === "bool" ? "Bool" : "Word";
    return this.#emit(this.#body, `load${kind}Repeat`, { words: [this.#operand(i), inner, period] });
  }

  #operand(i: number): number {
    const operand = this.#reads.indexOf(i);
    return operand < 0 ? this.#reads.push(i) - 1 : operand;
  }

  /** A float32 constant. */
  float(x: number): Register {
    return this.#emit(this.#prologue, "immediate", { words: [floatBits(x)] });
  }

  /** An int32 constant. */
  int(x: number): Register {
    return this.#emit(this.#prologue, "immediate", { words: [x | 0] });
  }

  /** An instruction on registers. */
  op(name: string, ...registers: Register[]): Register {
    return this.#emit(this.#body, name, { sources: registers });
  }

  /** Output `o` is this register. */
  store(o: number, register: Register): void {
    this.#stores.push({ output: o, register });
  }

  /** The kernel. Outputs may take the memory of inputs with elements of the same width. */
  lowered(): Lowered {
    const { inputs, outputs } = this.#context;
    const reads = this.#reads;
    const { code, registers } = this.#allocate();
    const head = [this.#size, outputs.length, registers, code.length / WORDS, this.#prologue.length];
    const narrow = (dtype: string): boolean => dtype === "bool";
    const inplace = outputs.flatMap((output, o) =>
      reads.flatMap((index, i) => {
        const input = inputs[index]!;
        const whole = sizeOf(input.shape) === this.#size && !this.#singles.has(index) && !this.#repeated.has(index);
        return narrow(output.dtype) === narrow(input.dtype) && whole ? [[o, i] as const] : [];
      }),
    );
    return {
      kernel: "loop",
      params: [...head, ...code],
      reads,
      singles: [...this.#singles],
      flops: this.#size * this.#body.length,
      inplace,
    };
  }

  // The kernel's registers: those of the prologue stay, others are free again after their last reader. Stores come last.
  #allocate(): { code: number[]; registers: number } {
    const lastRead = new Map<Register, number>();
    this.#body.forEach(({ result, sources }, k) => {
      lastRead.set(result, k);
      for (const source of sources) lastRead.set(source, k);
    });
    for (const { register } of this.#stores) lastRead.set(register, Infinity);
    const place = new Map<Register, number>();
    let count = 0;
    const free: number[] = [];
    const encode = ({ name, result, sources, words }: Instruction): number[] => {
      const operands = [...sources.map((source) => place.get(source)!), ...words];
      return [this.#target.loopOp(name), place.get(result)!, operands[0] ?? 0, operands[1] ?? 0, operands[2] ?? 0];
    };
    const code = this.#prologue.flatMap((instruction) => {
      place.set(instruction.result, count++);
      return encode(instruction);
    });
    const fixed = count;
    this.#body.forEach((instruction, k) => {
      place.set(instruction.result, free.pop() ?? count++);
      code.push(...encode(instruction));
      for (const register of new Set([...instruction.sources, instruction.result])) {
        const at = place.get(register)!;
        if (at >= fixed && lastRead.get(register) === k) free.push(at);
      }
    });
    for (const { output, register } of this.#stores) {
      const name = this.#context.outputs[output]!.dtype === "bool" ? "storeBool" : "storeWord";
      code.push(this.#target.loopOp(name), 0, this.#reads.length + output, place.get(register)!, 0);
    }
    return { code, registers: Math.max(1, count) };
  }

  #emit(
    list: Instruction[],
    name: string,
    { sources = [], words = [] }: { readonly sources?: readonly Register[]; readonly words?: readonly number[] },
  ): Register {
    const result = this.#registers++;
    list.push({ name, result, sources, words });
    return result;
  }
}
