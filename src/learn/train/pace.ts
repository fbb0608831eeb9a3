// Pace: how a loop shares the thread. Long steps run off the event loop; short ones on it, with a pause every few milliseconds.

/** Steps shorter than this are not worth the way to another thread and back (about 0.1 ms). */
const SHORT_MS = 2;
/** The event loop waits at most about this long for its turn. */
const SLICE_MS = 8;

/** Runs the steps of one loop. */
export class Pace {
  /** The shortest of the last steps, growing slowly: one step that other work delayed must not change the way. */
  #typical = Infinity;
  #pause = performance.now();

  /** Runs one step, the way its predecessor's time suggests; the first one off the event loop. */
  async step<T>(here: () => T, elsewhere: () => Promise<T>): Promise<T> {
    const began = performance.now();
    if (this.#typical >= SHORT_MS) {
      const result = await elsewhere();
      this.#pause = performance.now();
      this.#measured(this.#pause - began);
      return result;
    }
    if (began - this.#pause > SLICE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#pause = performance.now();
    }
    const before = performance.now();
    const result = here();
    this.#measured(performance.now() - before);
    return result;
  }

  #measured(ms: number): void {
    this.#typical = Math.min(ms, this.#typical * 1.1);
  }
}
