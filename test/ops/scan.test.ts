// scan and checkpoint as programs: what is stacked, what is computed once, what is computed again.
import { describe, expect, test } from "vitest";
import { formatType, HostArray } from "../../src/engine/core/index.ts";
import { compile, optimize } from "../../src/engine/compile/index.ts";
import * as ops from "../../src/engine/ops/index.ts";
import { trace, type Program, type Value } from "../../src/engine/program/index.ts";
import { device } from "../../src/engine/runtime/index.ts";
import { valueAndGrad, vjp } from "../../src/engine/transform/index.ts";
import { drawSamples, gradCheckProgram, runner } from "../../src/testing/index.ts";

const { float, int } = ops;
const reference = device("reference");

// A recurrent layer over `xs` with weights from outside the loop.
function recurrent(w: Value, h: Value, xs: Value): Value {
  const { carries } = ops.scan(
    ([state], [x]) => ({ carries: [ops.tanh(ops.add(ops.matmul(state!, w), x!))], ys: [] }),
    [h],
    { xs: [xs] },
  );
  return ops.sum(carries[0]!);
}
const recurrentTypes = [float([3, 3]), float([2, 3]), float([7, 2, 3])];

describe("scan", () => {
  test("values from outside are constants of the loop", () => {
    const { program } = trace(recurrentTypes, ([w, h, xs]) => [recurrent(w!, h!, xs!)]);
    expect(program.equations.map(({ op }) => op.name)).toEqual(["scan", "sum"]);
    const { consts, carries, length } = program.equations[0]!.attrs as {
      consts: number;
      carries: number;
      length: number;
    };
    expect({ consts, carries, length }).toEqual({ consts: 1, carries: 1, length: 7 });
  });

  test("the gradient stacks hidden states, never the weights or the inputs again", () => {
    const { program } = trace(recurrentTypes, ([w, h, xs]) => [recurrent(w!, h!, xs!)]);
    const scans = valueAndGrad(program, [0, 1, 2]).equations.filter(({ op }) => op.name === "scan");
    expect(scans).toHaveLength(2);
    const [forward, backward] = scans;
    // The old state and tanh's output of each turn.
    expect(forward!.outputs.map(formatType)).toEqual(["float32[2,3]", "float32[7,2,3]", "float32[7,2,3]"]);
    expect(backward!.inputs.map(formatType)).not.toContain("float32[7,3,3]");
    expect((backward!.attrs as { reverse: boolean }).reverse).toBe(true);
    gradCheckProgram(program, drawSamples(recurrentTypes, 0));
  });

  test("what depends on constants alone is computed once, outside the backward loop", () => {
    const { program } = trace([float([3]), float([5, 3])], ([c, xs]) => {
      const turn = ops.scan(
        ([s], [x]) => ({ carries: [ops.mul(ops.add(s!, x!), ops.exp(c!))], ys: [] }),
        [ops.zerosLike(c!)],
        {
          xs: [xs!],
        },
      );
      return [ops.sum(turn.carries[0]!)];
    });
    const gradient = valueAndGrad(program, [0, 1]);
    const [forward, backward] = gradient.equations.filter(({ op }) => op.name === "scan");
    const outer = gradient.equations.map(({ op }) => op.name);
    expect(outer.slice(0, outer.indexOf("scan"))).toContain("exp");
    expect(forward!.outputs.map(formatType)).toEqual(["float32[3]", "float32[5,3]"]);
    const { body } = backward!.attrs as { body: Program };
    expect(body.equations.map(({ op }) => op.name)).not.toContain("exp");
    gradCheckProgram(program, drawSamples([float([3]), float([5, 3])], 1));
  });

  test("length 0 gives the carries back and has their gradient", () => {
    const { program } = trace(recurrentTypes.with(2, float([0, 2, 3])), ([w, h, xs]) => [recurrent(w!, h!, xs!)]);
    const inputs = drawSamples(recurrentTypes.with(2, float([0, 2, 3])), 2);
    const [, dw, dh, dx] = runner(valueAndGrad(program, [0, 1, 2]), reference)(inputs);
    expect(dw!.toFlat()).toEqual(Array(9).fill(0));
    expect(dh!.toFlat()).toEqual(Array(6).fill(1));
    expect(dx!.shape).toEqual([0, 2, 3]);
  });

  test("a scan inside a scan is differentiated", () => {
    const types = [float([2]), float([3, 2, 2])];
    const { program } = trace(types, ([c, xs]) => {
      const outer = ops.scan(
        ([s], [rows]) => {
          const inner = ops.scan(([t], [x]) => ({ carries: [ops.sin(ops.mul(t!, ops.add(x!, c!)))], ys: [t!] }), [s!], {
            xs: [rows!],
            reverse: true,
          });
          return { carries: inner.carries, ys: inner.ys };
        },
        [ops.fullLike(1, c!)],
        { xs: [xs!] },
      );
      return [...outer.carries, ...outer.ys];
    });
    const inputs = drawSamples(types, 3);
    gradCheckProgram(program, inputs);
    const weights = [float([2]), float([3, 2, 2])];
    gradCheckProgram(vjp(program, [0, 1]), [...inputs, ...drawSamples(weights, 4)]);
  });

  test("one turn after the other, last slice first where reversed", () => {
    const of = (reverse: boolean): number[] => {
      const { program } = trace([int([4], 0, 9)], ([xs]) => {
        const ten = ops.full(10, { dtype: "int32", shape: [] });
        const { carries, ys } = ops.scan(
          ([s], [x]) => ({ carries: [ops.add(ops.mul(s!, ten), x!)], ys: [s!] }),
          [ops.zerosLike(ten)],
          { xs: [xs!], reverse },
        );
        return [carries[0]!, ...ys];
      });
      return runner(program, reference)([HostArray.of(Int32Array.of(1, 2, 3, 4))]).flatMap((array) => array.toFlat());
    };
    expect(of(false)).toEqual([1234, 0, 1, 12, 123]);
    expect(of(true)).toEqual([4321, 432, 43, 4, 0]);
  });

  test("refuses a body that loses a carry, and a loop without a length", () => {
    const nothing = { carries: [], ys: [] };
    const lost = (): unknown => trace([float([2])], ([c]) => ops.scan(() => nothing, [c!], { length: 2 }).carries);
    expect(lost).toThrow("the body gives 0 carries: received 1");
    const endless = (): unknown => trace([], () => ops.scan(() => nothing, [], {}).carries);
    expect(endless).toThrow("no `length`");
  });
});

describe("checkpoint", () => {
  const types = [float([4]), float([4])];
  const layer = ([x, w]: readonly Value[]): Value[] => [ops.mul(ops.sin(ops.exp(x!)), w!)];
  const count = (program: Program, name: string): number =>
    program.equations.filter(({ op }) => op.name === name).length;

  test("computes its inside again for the gradient; without it nothing is computed twice", () => {
    const plain = trace(types, (inputs) => [ops.sum(layer(inputs)[0]!)]).program;
    const remade = trace(types, (inputs) => [ops.sum(ops.checkpoint(layer, inputs)[0]!)]).program;
    const [kept, again] = [plain, remade].map((program) => optimize(valueAndGrad(program, [0, 1]), reference.backend));
    expect(count(kept!, "exp")).toBe(1);
    expect(count(again!, "exp")).toBe(2);
    const inputs = drawSamples(types, 0);
    const [a, b] = [plain, remade].map((program) => runner(valueAndGrad(program, [0, 1]), reference)(inputs));
    expect(b!.map((array) => array.toFlat())).toEqual(a!.map((array) => array.toFlat()));
  });

  test("sixteen layers in four checkpoints need half the memory", () => {
    const deep = [float([8, 8]), float([64, 8])];
    const four = (w: Value, x: Value): Value => {
      for (let i = 0; i < 4; i++) x = ops.tanh(ops.matmul(x, w));
      return x;
    };
    const arena = (block: (w: Value, x: Value) => Value): number => {
      const { program } = trace(deep, ([w, x]) => {
        for (let i = 0; i < 4; i++) x = block(w!, x!);
        return [ops.sum(x!)];
      });
      return compile(valueAndGrad(program, [0]), device("wasm").backend).arenaBytes;
    };
    const plain = arena(four);
    const again = arena((w, x) => ops.checkpoint(([y]) => [four(w, y!)], [x])[0]!);
    expect(again).toBeLessThan(plain / 2);
  });

  test("values from outside take part in the gradient", () => {
    const { program } = trace(types, ([x, w]) => ops.checkpoint(([y]) => [ops.mul(ops.sin(y!), w!)], [x!]));
    gradCheckProgram(program, drawSamples(types, 1));
    expect(formatType(program.equations[0]!.inputs[1]!)).toBe("float32[4]");
  });
});
