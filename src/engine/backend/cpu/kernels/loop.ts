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
  readonly #stores: number[] = [];
  #registers = 0;

  constructor(context: LowerContext<never>, target: LowerTarget) {
    this.#context = context;
    this.#target = target;
  }

  /** Input `i`, element by element; one of a single element is read once. */
  load(i: number): Register {
    const type = this.#context.inputs[i]!;
    const scalar = sizeOf(type.shape) === 1 && sizeOf(this.#context.outputs[0]!.shape) !== 1;
    const name = `load${type.dtype === "bool" ? "Bool" : "Word"}${scalar ? "Scalar" : ""}`;
    return this.#emit(scalar ? this.#prologue : this.#body, name, [i]);
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
    const operand = this.#context.inputs.length + o;
    const name = OUTPUT_STORES[this.#context.outputs[o]!.dtype] ?? "storeWord";
    this.#stores.push(this.#target.loopOp(name), 0, operand, register, 0);
  }

  /** The kernel. Outputs may take the memory of inputs with elements of the same width. */
  lowered(): Lowered {
    const { inputs, outputs } = this.#context;
    const size = sizeOf(outputs[0]!.shape);
    const code = [...this.#prologue, ...this.#body, ...this.#stores];
    const head = [size, outputs.length, this.#registers, code.length / 5, this.#prologue.length / 5];
    const narrow = (dtype: string): boolean => dtype === "bool";
    const inplace = outputs.flatMap((output, o) =>
      inputs.flatMap((input, i) =>
        narrow(output.dtype) === narrow(input.dtype) && sizeOf(input.shape) === size ? [[o, i] as const] : [],
      ),
    );
    return { kernel: "loop", params: [...head, ...code], flops: (size * this.#body.length) / 5, inplace };
  }

  #emit(list: number[], name: string, [a = 0, b = 0, c = 0]: readonly number[]): Register {
    const register = this.#registers++;
    list.push(this.#target.loopOp(name), register, a, b, c);
    return register;
  }
}
