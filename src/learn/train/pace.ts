// Pace: how a loop shares the thread. Long work runs off the event loop; short work on it, with a pause every few milliseconds.

/** Work shorter than this is not worth the way to another thread and back (about 0.1 ms). */
const SHORT_MS = 2;
/** The event loop waits at most about this long for its turn. */
const SLICE_MS = 3;
/** Several steps in one call take about this long: what they cost besides is lost in it, and nobody waits for it. */
const BURST_MS = 32;
const MOST_STEPS = 512;

/** Runs the steps of one loop. */
export class Pace {
  /** Time of a step: the shortest of the last ones, growing slowly: one that other work delayed must not change the way. */
  #typical = Infinity;
  #pause = performance.now();

  /** How many steps to take in the next call. */
  get steps(): number {
    return Math.max(1, Math.min(MOST_STEPS, Math.floor(BURST_MS / this.#typical)));
  }

  /** Runs one step, or several in one call, the way the time of those before suggests; the first off the event loop. */
  async step<T>(here: () => T, elsewhere: () => Promise<T>, steps: number = 1): Promise<T> {
    const began = performance.now();
    if (this.#typical * steps >= SHORT_MS) {
      const result = await elsewhere();
      this.#pause = performance.now();
      this.#measured((this.#pause - began) / steps);
      return result;
    }
    if (began - this.#pause > SLICE_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#pause = performance.now();
    }
    const before = performance.now();
    const result = here();
    this.#measured((performance.now() - before) / steps);
    return result;
  }

  #measured(ms: number): void {
    this.#typical = Math.min(ms, this.#typical * 1.1);
  }
}
