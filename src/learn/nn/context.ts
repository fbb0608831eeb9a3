// Context: what a forward pass is told besides its input.
import { ArgumentError } from "../../engine/core/index.ts";
import { random, type Tensor } from "../../engine/tensor/index.ts";
import type { Scope } from "./scope.ts";

export interface ContextOptions {
  readonly training: boolean;
  readonly key?: Tensor | undefined;
  /** Told of each module's input and output in a pure call. */
  readonly onCall?: Scope["onCall"];
}

/** Training or not, and keys for the layers that draw random numbers. */
export class Context {
  readonly training: boolean;
  readonly onCall: Scope["onCall"];
  readonly #key: Tensor | undefined;
  #drawn = 0;

  constructor({ training, key, onCall }: ContextOptions) {
    this.training = training;
    this.#key = key;
    this.onCall = onCall;
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
