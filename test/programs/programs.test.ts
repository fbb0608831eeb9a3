// Programs and plans as text, from the trace through the gradient to the plan: a change of any transform or pass shows here.
import { expect, test } from "vitest";
import { compile, optimize } from "../../src/engine/compile/index.ts";

import * as ops from "../../src/engine/ops/index.ts";
import { inline, trace, verifyProgram, type Program, type Value } from "../../src/engine/program/index.ts";
import { device } from "../../src/engine/runtime/index.ts";
import { valueAndGrad } from "../../src/engine/transform/index.ts";

const { float, int } = ops;
const { backend } = device("reference");

// Mean loss of one dense layer: what every classifier ends in.
const denseTypes = [float([4, 3]), float([3]), float([2, 4]), int([2], 0, 2)];
function dense([w, b, x, labels]: readonly Value[]): Value[] {
  const logits = ops.add(ops.matmul(x!, w!), ops.broadcast(b!, [2, 3]));
  const losses = ops.crossEntropy(logits, labels!);
  return [ops.mul(ops.sum(losses), ops.full(0.5, { dtype: "float32", shape: [] }))];
}

function printed(program: Program): string {
  verifyProgram(program);
  return program.toString();
}

test("a dense layer's loss", () => {
  expect(printed(trace(denseTypes, dense).program)).toMatchInlineSnapshot(`
    "program(%0: float32[4,3], %1: float32[3], %2: float32[2,4], %3: int32[2]) {
      %4: float32[2,3] = matmul %2 %0 transposeA=false transposeB=false
      %5: float32[2,3] = broadcast %1 shape=[2,3] axes=[1]
      %6: float32[2,3] = add %4 %5
      %7: float32[2] = crossEntropy %6 %3
      %8: float32[] = sum %7 axes=[0]
      %9: float32[] = full value=0.5 shape=[] dtype=float32
      %10: float32[] = mul %8 %9
      return %10
    }"
  `);
});

test("its gradient", () => {
  expect(printed(valueAndGrad(trace(denseTypes, dense).program, [0, 1]))).toMatchInlineSnapshot(`
    "program(%0: float32[4,3], %1: float32[3], %2: float32[2,4], %3: int32[2]) {
      %4: float32[2,3] = matmul %2 %0 transposeA=false transposeB=false
      %5: float32[2,3] = broadcast %1 shape=[2,3] axes=[1]
      %6: float32[2,3] = add %4 %5
      %7: float32[2] = crossEntropy %6 %3
      %8: float32[] = sum %7 axes=[0]
      %9: float32[] = full value=0.5 shape=[] dtype=float32
      %10: float32[] = mul %8 %9
      %11: float32[] = full value=1 shape=[] dtype=float32
      %12: float32[] = mul %11 %9
      %13: float32[] = mul %11 %8
      %14: float32[2] = broadcast %12 shape=[2] axes=[]
      %15: float32[2,3] = crossEntropyGrad %6 %3 %14
      %16: float32[3] = sum %15 axes=[0]
      %17: float32[2,4] = matmul %15 %0 transposeA=false transposeB=true
      %18: float32[4,3] = matmul %2 %15 transposeA=true transposeB=false
      return %10, %18, %16
    }"
  `);
});

test("its gradient after the passes for the reference", () => {
  const gradient = valueAndGrad(trace(denseTypes, dense).program, [0, 1]);
  expect(printed(optimize(gradient, backend, { verify: true }))).toMatchInlineSnapshot(`
    "program(%0: float32[4,3], %1: float32[3], %2: float32[2,4], %3: int32[2]) {
      %4: float32[2,3] = matmul %2 %0 transposeA=false transposeB=false
      %5: float32[2,3] = broadcast %1 shape=[2,3] axes=[1]
      %6: float32[2,3] = add %4 %5
      %7: float32[2] = max %6 axes=[1]
      %8: float32[2,3] = broadcast %7 shape=[2,3] axes=[0]
      %9: float32[2,3] = sub %6 %8
      %10: int32[2,1] = reshape %3 shape=[2,1]
      %11: float32[2,1] = takeAlongAxis %9 %10 axis=1
      %12: float32[2,3] = exp %9
      %13: float32[2] = reshape %11 shape=[2]
      %14: float32[2] = sum %12 axes=[1]
      %15: float32[2] = log %14
      %16: float32[2] = sub %15 %13
      %17: float32[] = sum %16 axes=[0]
      %18: float32[] = full value=0.5 shape=[] dtype=float32
      %19: float32[] = mul %17 %18
      %20: float32[2,1] = full value=0.5 shape=[2,1] dtype=float32
      %21: float32[2,3] = scatterAddAlongAxis %10 %20 axis=1 size=3
      %22: float32[2,3] = broadcast %14 shape=[2,3] axes=[0]
      %23: float32[2,3] = div %12 %22
      %24: float32[2,3] = full value=0.5 shape=[2,3] dtype=float32
      %25: float32[2,3] = mul %24 %23
      %26: float32[2,3] = sub %25 %21
      %27: float32[3] = sum %26 axes=[0]
      %28: float32[4,3] = matmul %2 %26 transposeA=true transposeB=false
      return %19, %28, %27
    }"
  `);
});

test("the plan of a step of gradient descent on it", () => {
  const { program } = trace([...denseTypes, float([])], ([w, b, x, labels, rate]) => {
    const gradient = valueAndGrad(trace(denseTypes, dense).program, [0, 1]);
    const [loss, dw, db] = inline(gradient, [w!, b!, x!, labels!]);
    const next = [w!, b!].map((param, i) => ops.sgdUpdate({ param, grad: [dw!, db!][i]!, rate: rate! })[0]!);
    return [loss!, ...next];
  });
  expect(compile(program, backend, { donate: [0, 1], verify: true }).toString()).toMatchInlineSnapshot(`
    "plan(arena 384 bytes, 8 slots) {
      @0: float32[2,3] = evaluate(matmul) $2 $0 // 104 B
      @64: float32[2,3] = evaluate(broadcast) $1 // 36 B
      @128: float32[2,3] = evaluate(add) @0 @64 // 72 B
      @64: float32[2] = evaluate(max) @128 // 32 B
      @0: float32[2,3] = evaluate(broadcast) @64 // 32 B
      @64: float32[2,3] = evaluate(sub) @128 @0 // 72 B
      @128: int32[2,1] = evaluate(reshape) $3 // 16 B
      @192: float32[2,1] = evaluate(takeAlongAxis) @64 @128 // 40 B
      @0: float32[2,3] = evaluate(exp) @64 // 48 B
      @64: float32[2] = evaluate(reshape) @192 // 16 B
      @192: float32[2] = evaluate(sum) @0 // 32 B
      @256: float32[2] = evaluate(log) @192 // 16 B
      @320: float32[2] = evaluate(sub) @256 @64 // 24 B
      @64: float32[] = evaluate(sum) @320 // 12 B
      @256: float32[] = evaluate(full)  // 4 B
      $5: float32[] = evaluate(mul) @64 @256 // 12 B
      @256: float32[2,1] = evaluate(full)  // 8 B
      @64: float32[2,3] = evaluate(scatterAddAlongAxis) @128 @256 // 40 B
      @128: float32[2,3] = evaluate(broadcast) @192 // 32 B
      @192: float32[2,3] = evaluate(div) @0 @128 // 72 B
      @0: float32[2,3] = evaluate(full)  // 24 B
      @128: float32[2,3] = evaluate(mul) @0 @192 // 72 B
      @192: float32[2,3] = evaluate(sub) @128 @64 // 72 B
      @256: float32[3] = evaluate(sum) @192 // 36 B
      @0: float32[4,3] = evaluate(matmul) $2 @192 // 104 B
      @64: float32[4,3] = evaluate(broadcast) $4 // 52 B
      @128: float32[4,3] = evaluate(mul) @0 @64 // 144 B
      $6: float32[4,3] = evaluate(sub) $0 @128 // 144 B
      @0: float32[3] = evaluate(broadcast) $4 // 16 B
      @64: float32[3] = evaluate(mul) @256 @0 // 36 B
      $7: float32[3] = evaluate(sub) $1 @64 // 36 B
      return $5, $6, $7
    }"
  `);
});

const recurrentTypes = [float([2, 2]), float([1, 2]), float([3, 1, 2])];
function recurrent([w, h, xs]: readonly Value[]): Value[] {
  const turn = ops.scan(
    ([state], [x]) => ({ carries: [ops.tanh(ops.add(ops.matmul(state!, w!), x!))], ys: [] }),
    [h!],
    { xs: [xs!] },
  );
  return [ops.sum(turn.carries[0]!)];
}

test("a recurrent layer", () => {
  expect(printed(trace(recurrentTypes, recurrent).program)).toMatchInlineSnapshot(`
    "program(%0: float32[2,2], %1: float32[1,2], %2: float32[3,1,2]) {
      %3: float32[1,2] = scan %0 %1 %2 body=
        program(%0: float32[2,2], %1: float32[1,2], %2: float32[1,2]) {
          %3: float32[1,2] = matmul %1 %0 transposeA=false transposeB=false
          %4: float32[1,2] = add %3 %2
          %5: float32[1,2] = tanh %4
          return %5
        } consts=1 carries=1 length=3 reverse=false
      %4: float32[] = sum %3 axes=[0,1]
      return %4
    }"
  `);
});

test("its gradient: a loop forward, a loop back", () => {
  expect(printed(valueAndGrad(trace(recurrentTypes, recurrent).program, [0]))).toMatchInlineSnapshot(`
    "program(%0: float32[2,2], %1: float32[1,2], %2: float32[3,1,2]) {
      %3: float32[1,2], %4: float32[3,1,2], %5: float32[3,1,2] = scan %0 %1 %2 body=
        program(%0: float32[2,2], %1: float32[1,2], %2: float32[1,2]) {
          %3: float32[1,2] = matmul %1 %0 transposeA=false transposeB=false
          %4: float32[1,2] = add %3 %2
          %5: float32[1,2] = tanh %4
          return %5, %1, %5
        } consts=1 carries=1 length=3 reverse=false
      %6: float32[] = sum %3 axes=[0,1]
      %7: float32[] = full value=1 shape=[] dtype=float32
      %8: float32[1,2] = broadcast %7 shape=[1,2] axes=[]
      %9: float32[2,2] = full value=0 shape=[2,2] dtype=float32
      %10: float32[2,2], %11: float32[1,2] = scan %0 %9 %8 %4 %5 body=
        program(%0: float32[2,2], %1: float32[2,2], %2: float32[1,2], %3: float32[1,2], %4: float32[1,2]) {
          %5: float32[1,2] = full value=1 shape=[1,2] dtype=float32
          %6: float32[1,2] = mul %4 %4
          %7: float32[1,2] = sub %5 %6
          %8: float32[1,2] = mul %2 %7
          %9: float32[1,2] = matmul %8 %0 transposeA=false transposeB=true
          %10: float32[2,2] = matmul %3 %8 transposeA=true transposeB=false
          %11: float32[2,2] = add %1 %10
          return %11, %9
        } consts=1 carries=2 length=3 reverse=true
      return %6, %10
    }"
  `);
});

test("the plan of its gradient", () => {
  const gradient = valueAndGrad(trace(recurrentTypes, recurrent).program, [0]);
  expect(compile(gradient, backend, { verify: true }).toString()).toMatchInlineSnapshot(`
    "plan(arena 448 bytes, 5 slots) {
      @128: float32[1,2] = evaluate(copy) $1 // 16 B
      loop 3 {
        @192: float32[1,2] = $2[i]
        @256: float32[1,2] = evaluate(matmul) @128 $0 // 32 B
        @320: float32[1,2] = evaluate(add) @192 @256 // 24 B
        @192: float32[1,2] = evaluate(tanh) @320 // 16 B
        @0[i] = @128
        @64[i] = @192
        @128 <- @192
      }
      $3: float32[] = evaluate(sum) @128 // 12 B
      @128: float32[2,2] = evaluate(full)  // 16 B
      @192: float32[1,2] = evaluate(full)  // 8 B
      $4: float32[2,2] = evaluate(copy) @128 // 32 B
      @256: float32[1,2] = evaluate(copy) @192 // 16 B
      loop 3 reverse {
        @192: float32[1,2] = @0[i]
        @128: float32[1,2] = @64[i]
        @320: float32[1,2] = evaluate(mul) @128 @128 // 24 B
        @128: float32[1,2] = evaluate(full)  // 8 B
        @384: float32[1,2] = evaluate(sub) @128 @320 // 24 B
        @320: float32[1,2] = evaluate(mul) @256 @384 // 24 B
        @384: float32[1,2] = evaluate(matmul) @320 $0 // 32 B
        @128: float32[2,2] = evaluate(matmul) @192 @320 // 32 B
        @192: float32[2,2] = evaluate(add) $4 @128 // 48 B
        $4 <- @192
        @256 <- @384
      }
      return $3, $4
    }"
  `);
});

test("attention as its decomposition", () => {
  const types = [float([1, 2, 3, 4]), float([1, 1, 3, 4]), float([1, 1, 3, 4])];
  const { program } = trace(types, ([q, k, v]) => [ops.attention(q!, { k: k!, v: v! }, { causal: true })]);
  expect(printed(optimize(program, backend, { verify: true }))).toMatchInlineSnapshot(`
    "program(%0: float32[1,2,3,4], %1: float32[1,1,3,4], %2: float32[1,1,3,4]) {
      %3: float32[1,1,6,4] = reshape %0 shape=[1,1,6,4]
      %4: float32[1,1,6,3] = matmul %3 %1 transposeA=false transposeB=true
      %5: float32[1,2,3,3] = reshape %4 shape=[1,2,3,3]
      %6: bool[1,2,3,3] = constant array=bool[1,2,3,3]{1 0 0 …}
      %7: float32[1,2,3,3] = full value=0.5 shape=[1,2,3,3] dtype=float32
      %8: float32[1,2,3,3] = mul %5 %7
      %9: float32[1,2,3,3] = full value=-1e+30 shape=[1,2,3,3] dtype=float32
      %10: float32[1,2,3,3] = where %6 %8 %9
      %11: float32[1,2,3] = max %10 axes=[3]
      %12: float32[1,2,3,3] = broadcast %11 shape=[1,2,3,3] axes=[0,1,2]
      %13: float32[1,2,3,3] = sub %10 %12
      %14: float32[1,2,3,3] = exp %13
      %15: float32[1,2,3] = sum %14 axes=[3]
      %16: float32[1,2,3,3] = broadcast %15 shape=[1,2,3,3] axes=[0,1,2]
      %17: float32[1,2,3,3] = div %14 %16
      %18: float32[1,2,3,3] = full value=0 shape=[1,2,3,3] dtype=float32
      %19: float32[1,2,3,3] = where %6 %17 %18
      %20: float32[1,1,6,3] = reshape %19 shape=[1,1,6,3]
      %21: float32[1,1,6,4] = matmul %20 %2 transposeA=false transposeB=false
      %22: float32[1,2,3,4] = reshape %21 shape=[1,2,3,4]
      return %22
    }"
  `);
});

test("equal functions print equally, whatever was traced before", () => {
  const first = trace(denseTypes, dense).program.toString();
  trace(recurrentTypes, recurrent);
  expect(trace(denseTypes, dense).program.toString()).toBe(first);
});
