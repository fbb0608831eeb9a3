// Stop strings in a stream: text that may be the beginning of one is held back until that is decided.

/** What came out of a piece of text. */
export interface Released {
  /** Text that holds no part of a stop string. */
  readonly text: string;
  /** The stop string that was met; everything from it on is gone. */
  readonly stopped: string | undefined;
}

/**
 * Watches a stream of text for strings that end it.
 *
 * @example
 * const watch = new StopWatch(["END"]);
 * watch.push("the E").text; // "the "
 * watch.push("ND."); // { text: "", stopped: "END" }
 */
export class StopWatch {
  readonly #stops: readonly string[];
  #held = "";

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** Adds text; of several stop strings the one that begins first counts, then the longest. */
  push(text: string): Released {
    const all = this.#held + text;
    let at = Infinity;
    let met: string | undefined;
    for (const stop of this.#stops) {
      const found = all.indexOf(stop);
      if (found < 0 || found > at || (found === at && stop.length < met!.length)) continue;
      [at, met] = [found, stop];
    }
    if (met !== undefined) {
      this.#held = "";
      return { text: all.slice(0, at), stopped: met };
    }
    const open = this.#openLength(all);
    this.#held = all.slice(all.length - open);
    return { text: all.slice(0, all.length - open), stopped: undefined };
  }

  /** The text held back: the stream is over. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  // How much of the end of a text could be the beginning of a stop string.
  #openLength(text: string): number {
    let open = 0;
    for (const stop of this.#stops)
      for (let n = Math.min(stop.length - 1, text.length); n > open; n--)
        if (text.endsWith(stop.slice(0, n))) {
          open = n;
          break;
        }
    return open;
  }
}
