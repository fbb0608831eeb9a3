// What the types of tensors and their transforms promise. Checked by the compiler, started by types.test.ts.
import { expectTypeOf } from "vitest";
import { add } from "chainrule/tensor";
import {
  grad,
  jit,
  tensor,
  valueAndGrad,
  type Device,
  type DType,
  type HostArray,
  type Shape,
  type Tensor,
  type TensorLike,
} from "chainrule";

// A tensor is made of what people have: numbers, nested arrays, typed arrays.
expectTypeOf(tensor).parameter(0).toExtend<unknown>();
expectTypeOf(tensor(1)).toEqualTypeOf<Tensor>();
expectTypeOf(tensor([[1, 2], [3, 4]])).toEqualTypeOf<Tensor>(); // prettier-ignore
expectTypeOf(tensor(new Float32Array(3), { dtype: "float32" })).toEqualTypeOf<Tensor>();
expectTypeOf<Tensor["shape"]>().toEqualTypeOf<Shape>();
expectTypeOf<Tensor["dtype"]>().toEqualTypeOf<DType>();
expectTypeOf<Shape>().toEqualTypeOf<readonly number[]>();

// Functions take tensors and what can become one; methods return tensors.
expectTypeOf(add(tensor(1), 2)).toEqualTypeOf<Tensor>();
expectTypeOf(add).parameters.toEqualTypeOf<[TensorLike, TensorLike]>();
expectTypeOf(tensor([1]).mul(2).sum()).toEqualTypeOf<Tensor>();
expectTypeOf(tensor([1]).item()).toEqualTypeOf<number>();
expectTypeOf<HostArray>().toExtend<TensorLike>();

// Transforms keep the types of what they are given.
interface Params {
  readonly w: Tensor;
  readonly b: Tensor;
}
const loss = (params: Params, x: Tensor): Tensor => x.matmul(params.w).add(params.b).sum();
expectTypeOf(grad(loss)).toEqualTypeOf<(params: Params, x: Tensor) => Params>();
expectTypeOf(valueAndGrad(loss)).toEqualTypeOf<(params: Params, x: Tensor) => [Tensor, Params]>();
expectTypeOf(jit(loss)).toBeCallableWith({ w: tensor(1), b: tensor(1) }, tensor(1));
expectTypeOf(jit(loss).run).returns.toEqualTypeOf<Promise<Tensor>>();

expectTypeOf<Device["name"]>().toEqualTypeOf<string>();

// What must be refused.
// @ts-expect-error: text is not a number
tensor("1");
// @ts-expect-error: no such dtype
tensor(1, { dtype: "float33" });
// @ts-expect-error: a tensor has no rows of its own type
tensor([1]).rows;
// @ts-expect-error: the second argument of the loss is a tensor
jit(loss)({ w: tensor(1), b: tensor(1) }, "x");
// @ts-expect-error: shapes are read only
tensor([1]).shape[0] = 2;
