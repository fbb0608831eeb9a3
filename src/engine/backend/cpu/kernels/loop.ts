// Programs of the loop kernel, written register by register.
import { floatBits } from "../../../plan/index.ts";
import type { LowerContext, Lowered } from "../../backend.ts";
import { sizeOf, type LowerTarget } from "./lowering.ts";

/** A register of a loop program. */
export type Register = number;

const OUTPUT_STORES: { readonly [dtype: string]: string } = { bool: "storeBool" };

/** Writes the program of one loop kernel over the elements of the op's outputs. */
export class LoopProgram {
  readonly #target: LowerTarget;
  readonly #context: LowerContext<never>;
  readonly #prologue: number[] = [];
  readonly #body: number[] = [];
  readonly #stores: { readonly output: number; readonly register: Register }[] = [];
  /** Inputs that are read from memory, in the order of the kernel's operands. */
  readonly #reads: number[] = [];
  /** Those of which the one element is enough. */
  readonly #singles = new Set<number>();
  #registers = 0;

  constructor(context: LowerContext<never>, target: LowerTarget) {
    this.#context = context;
    this.#target = target;
  }

  /** Input `i`, element by element; one of a single element is read once, a known number not at all. */
  load(i: number): Register {
    const type = this.#context.inputs[i]!;
    const known = this.#context.constants?.[i];
    if (known !== undefined) return type.dtype === "float32" ? this.float(known) : this.int(known);
    let operand = this.#reads.indexOf(i);
    if (operand < 0) operand = this.#reads.push(i) - 1;
    const single = this.#context.single?.[i] ?? sizeOf(type.shape) === 1;
    const scalar = single && sizeOf(this.#context.outputs[0]!.shape) !== 1;
    if (scalar) this.#singles.add(i);
    const name = `load${type.dtype === "bool" ? "Bool" : "Word"}${scalar ? "Scalar" : ""}`;
    return this.#emit(scalar ? this.#prologue : this.#body, name, [operand]);
  }

  /** A float32 constant. */
  float(x: number): Register {
    return this.#emit(this.#prologue, "immediate", [floatBits(x)]);
  }

  /** An int32 constant. */
  int(x: number): Register {
    return this.#emit(this.#prologue, "immediate", [x | 0]);
  }

  /** An instruction on registers. */
  op(name: string, ...registers: Register[]): Register {
    return this.#emit(this.#body, name, registers);
  }

  /** Output `o` is this register. */
  store(o: number, register: Register): void {
    this.#stores.push({ output: o, register });
  }

  /** The kernel. Outputs may take the memory of inputs with elements of the same width. */
  lowered(): Lowered {
    const { inputs, outputs } = this.#context;
    const size = sizeOf(outputs[0]!.shape);
    const reads = this.#reads;
    const stores = this.#stores.flatMap(({ output, register }) => {
      const name = OUTPUT_STORES[outputs[output]!.dtype] ?? "storeWord";
      return [this.#target.loopOp(name), 0, reads.length + output, register, 0];
    });
    const code = [...this.#prologue, ...this.#body, ...stores];
    const head = [size, outputs.length, this.#registers, code.length / 5, this.#prologue.length / 5];
    const narrow = (dtype: string): boolean => dtype === "bool";
    const inplace = outputs.flatMap((output, o) =>
      reads.flatMap((index, i) => {
        const input = inputs[index]!;
        const whole = sizeOf(input.shape) === size && !this.#singles.has(index);
        return narrow(output.dtype) === narrow(input.dtype) && whole ? [[o, i] as const] : [];
      }),
    );
    return {
      kernel: "loop",
      params: [...head, ...code],
      reads,
      singles: [...this.#singles],
      flops: (size * this.#body.length) / 5,
      inplace,
    };
  }

  #emit(list: number[], name: string, [a = 0, b = 0, c = 0]: readonly number[]): Register {
    const register = this.#registers++;
    list.push(this.#target.loopOp(name), register, a, b, c);
    return register;
  }
}
