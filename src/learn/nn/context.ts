// Context: what a forward pass is told besides its input.
import { ArgumentError } from "../../engine/core/index.ts";
import { random, type Tensor } from "../../engine/tensor/index.ts";

/** Training or not, and keys for the layers that draw random numbers. */
export class Context {
  readonly training: boolean;
  readonly #key: Tensor | undefined;
  #drawn = 0;

  constructor(options: { readonly training: boolean; readonly key?: Tensor | undefined }) {
    this.training = options.training;
    this.#key = options.key;
  }

  /** A key nobody else gets in this pass: the pass's own key folded with a counter. */
  key(): Tensor {
    if (this.#key === undefined) {
      throw new ArgumentError("context", "this pass has no key, but a layer draws random numbers", {
        hint: "call it with new Context({ training: true, key: random.key(seed) })",
      });
    }
    return random.foldIn(this.#key, this.#drawn++);
  }
}

/** A pass for use: nothing random, running statistics as they are. */
export const inference: Context = new Context({ training: false });
