// Value: one result inside a program; it has a type and no numbers.
import { formatType, type DType, type Shape, type TensorType } from "../core/index.ts";

/** A value of a program under construction. `owner` is the builder that made it. */
export class Value implements TensorType {
  readonly owner: object;
  readonly id: number;
  readonly dtype: DType;
  readonly shape: Shape;

  constructor(owner: object, id: number, type: TensorType) {
    this.owner = owner;
    this.id = id;
    this.dtype = type.dtype;
    this.shape = type.shape;
  }

  /** `%3: float32[2,4]`. */
  toString(): string {
    return `%${this.id}: ${formatType(this)}`;
  }
}
