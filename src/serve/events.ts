// Events: what the batch says about the texts of one request, in the order it happens, for whoever reads at their own pace.
import type { GeneratedToken } from "../generate/index.ts";

/** A token of a prompt under the model. */
export interface PromptToken {
  readonly id: number;
  /** `ln p` given the tokens before it; undefined for the first. */
  readonly logprob: number | undefined;
  /** The most probable tokens in its place, the most probable first. */
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** Something that happened to text number `index` of a request. */
export type TextEvent =
  | { readonly index: number; readonly prompt: readonly PromptToken[] }
  | { readonly index: number; readonly token: GeneratedToken };

/** Events of several texts that are told until all texts are over. One reader. */
export class Events implements AsyncIterable<TextEvent> {
  #open: number;
  #held: TextEvent[] = [];
  #failure: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(texts: number) {
    this.#open = texts;
  }

  push(event: TextEvent): void {
    this.#held.push(event);
    this.#wake?.();
  }

  /** One more text is over. */
  end(): void {
    this.#open--;
    this.#wake?.();
  }

  /** The reader is told of a failure after what it has not read yet. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TextEvent, void, undefined> {
    for (;;) {
      const held = this.#held;
      this.#held = [];
      yield* held;
      if (this.#held.length > 0) continue;
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#open === 0) return;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }
}
