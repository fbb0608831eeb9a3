// Contractions that go on with a loop program: the kernel runs it on each block of the result.
import type { Program, Value } from "../../../program/index.ts";
import { contractRules } from "./contract.ts";
import { writeGroup } from "./elementwise.ts";
import { LoopProgram } from "./loop.ts";
import { rule, sizeOf, type LowerRule, type LowerRules } from "./lowering.ts";
import { windowRules } from "./window.ts";

/** Ops whose kernel has a twin that ends with a loop program, with its name. */
const twins: { readonly [op: string]: { readonly rule: LowerRule; readonly kernel: string } } = {
  matmul: { rule: contractRules["matmul"]!, kernel: "matmulLoop" },
  conv: { rule: windowRules["conv"]!, kernel: "convLoop" },
  convInput: { rule: windowRules["convInput"]!, kernel: "convInputLoop" },
};

/** Whether the kernel of an op can end with a loop program. */
export function takesEpilogue(op: string): boolean {
  return twins[op] !== undefined;
}

// params: those of the contraction, which loop operand is the product, which output's memory holds it, those of the loop.
const fusedContraction: LowerRule = rule<{ body: Program }>((context, target) => {
  const { body } = context.attrs;
  const [first, ...rest] = body.equations;
  const twin = twins[first!.op.name];
  if (twin === undefined) return undefined;
  const { op, attrs, inputs: operands, outputs: made } = first!;
  const product = made[0]!;
  const size = sizeOf(product.shape);
  if (body.outputs.some(({ shape }) => sizeOf(shape) !== size)) return undefined;
  const spec = twin.rule({ op, attrs, inputs: operands, outputs: made }, target);
  if (spec === undefined || "view" in spec) return undefined;

  // To the loop the product is input 0, and input i of the body is input i + 1.
  const position = new Map<Value, number>(body.inputs.map((input, i) => [input, i + 1]));
  position.set(product, 0);
  const loop = new LoopProgram(
    {
      op: context.op as never,
      attrs: context.attrs as never,
      outputs: context.outputs,
      inputs: [product, ...context.inputs],
      constants: [undefined, ...(context.constants ?? [])],
      single: [false, ...(context.single ?? context.inputs.map(() => false))],
    },
    target,
  );
  const read = writeGroup(loop, rest, {
    load: (input) => loop.load(position.get(input)!),
    repeat: (input, by) => loop.repeat(position.get(input)!, by),
    random: (key) => loop.random(position.get(key)!),
  });
  if (read === undefined) return undefined;
  body.outputs.forEach((output, o) => loop.store(o, read(output)));
  const { reads = [], params, singles = [], inplace = [], flops = 0 } = loop.lowered();
  const productRead = reads.indexOf(0);
  if (productRead < 0) return undefined;

  // The product is written where a result that may take its memory will be; if there is none, it needs memory of its own.
  const able = inplace.flatMap(([o, read]) => (read === productRead ? [o] : []));
  const own = able.find((o) => body.outputs[o] === product) ?? able[0];
  const carrier = own ?? context.outputs.length;
  const before = operands.map((value) => position.get(value)! - 1);
  const after = reads.filter((i) => i > 0);
  return {
    kernel: twin.kernel,
    label: body.equations.map((equation) => equation.op.name).join(" "),
    params: [...spec.params, productRead, carrier, ...params],
    reads: [...before, ...after.map((i) => i - 1)],
    singles: singles.map((i) => i - 1),
    flops: (spec.flops ?? 0) + flops,
    inplace: inplace.flatMap(([o, read]) => {
      const at = after.indexOf(reads[read]!);
      return o === carrier || at < 0 ? [] : [[o, before.length + at] as const];
    }),
    ...(own === undefined && { scratch: [{ dtype: "float32", shape: product.shape }] }),
  };
});

/** Rules of contractions with an end. */
export const epilogueRules: LowerRules = { fusedContraction };
