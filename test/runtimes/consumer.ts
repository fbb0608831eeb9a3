// A user's program in TypeScript: the declarations of the package must stand on their own.
import { dense, Sequential, tensor, valueAndGrad, type Tensor } from "chainrule";
import { sin } from "chainrule/ops";

export const model: Sequential = new Sequential([dense(2, { activation: "softmax", inputShape: [4] })]);
const [loss, slope]: [Tensor, Tensor] = valueAndGrad((w: Tensor) => w.square().sum())(tensor([1, 2, 3]));
export const values: number[] = [loss.item(), slope.size];
export const name: string = sin.op.name;
// @ts-expect-error: the number of units is a number
dense("2");
