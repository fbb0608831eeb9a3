// Samplers: what each cut leaves, penalties, draws that are functions of (seed, place), and their frequencies.
import { describe, expect, it } from "vitest";
import { best, Continuation, logProbabilities, Sampler, StopWatch, type History } from "../../src/generate/index.ts";

const none: History = { generated: new Map(), seen: new Set() };
// Probabilities 0.4, 0.3, 0.2, 0.1, out of order.
const shares = [0.2, 0.4, 0.1, 0.3];
const logits = Float32Array.from(shares, Math.log);

function kept(options: ConstructorParameters<typeof Sampler>[0], history = none): { [id: string]: number } {
  const { ids, probabilities } = new Sampler(options).candidates(logits, history);
  return Object.fromEntries(Array.from(ids, (id, i) => [id, Number(probabilities[i]!.toFixed(4))]));
}

describe("a sampler", () => {
  it.each([
    [{}, { 0: 0.2, 1: 0.4, 2: 0.1, 3: 0.3 }],
    [{ temperature: 0 }, { 1: 1 }],
    [{ temperature: 0.5 }, { 0: 0.1333, 1: 0.5333, 2: 0.0333, 3: 0.3 }],
    [{ topK: 2 }, { 1: 0.5714, 3: 0.4286 }],
    [{ topP: 0.5 }, { 1: 0.5714, 3: 0.4286 }],
    [{ topP: 0.4001 }, { 1: 0.5714, 3: 0.4286 }],
    [{ topP: 0.39 }, { 1: 1 }],
    [
      { topK: 3, topP: 0.7 },
      { 1: 0.5714, 3: 0.4286 },
    ],
    [{ minP: 0.4 }, { 0: 0.2222, 1: 0.4444, 3: 0.3333 }],
    [
      { minP: 0.5, topK: 2 },
      { 1: 0.5714, 3: 0.4286 },
    ],
  ])("with %j leaves %j", (options, wanted) => {
    expect(kept(options)).toEqual(wanted);
  });

  it("penalizes what was seen and what was generated", () => {
    const history: History = { generated: new Map([[1, 3]]), seen: new Set([1, 2]) };
    const one = (options: ConstructorParameters<typeof Sampler>[0]): number => {
      const { ids, probabilities } = new Sampler(options).candidates(logits, history);
      const at = (id: number): number => probabilities[ids.indexOf(id)]!;
      return Math.log(at(1) / at(0)) - Math.log(0.4 / 0.2);
    };
    expect(one({ presencePenalty: 0.5 })).toBeCloseTo(-0.5, 5);
    expect(one({ frequencyPenalty: 0.5 })).toBeCloseTo(-1.5, 5);
    // Logits are negative here: they are multiplied.
    expect(one({ repetitionPenalty: 1.5 })).toBeCloseTo(0.5 * Math.log(0.4), 5);
  });

  it("draws each token as often as its probability says, by seed and place", () => {
    const sampler = new Sampler({ seed: 3 });
    const candidates = sampler.candidates(logits, none);
    const counts = [0, 0, 0, 0];
    for (let place = 0; place < 20000; place++) counts[sampler.draw(candidates, place)]!++;
    // Standard deviation below √(0.25 / 20000) = 0.0035; five of them.
    counts.forEach((count, id) => expect(Math.abs(count / 20000 - shares[id]!)).toBeLessThan(0.018));
    expect(new Sampler({ seed: 3 }).draw(candidates, 77)).toBe(sampler.draw(candidates, 77));
    const draws = (seed: number): number[] =>
      Array.from({ length: 50 }, (_, i) => new Sampler({ seed }).draw(candidates, i));
    expect(draws(4)).not.toEqual(draws(3));
  });

  it("cuts a large vocabulary as sorting it would", () => {
    const large = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i * 12.9898) * 3);
    const order = Array.from(large.keys()).sort((a, b) => large[b]! - large[a]! || a - b);
    expect(Array.from(best(large, 40))).toEqual(order.slice(0, 40));
    expect(Array.from(best(large, 1))).toEqual(order.slice(0, 1));
    const weights = order.map((id) => Math.exp(large[id]!));
    const total = weights.reduce((a, b) => a + b);
    for (const topP of [0.05, 0.6, 0.999]) {
      let count = 0;
      for (let sum = 0; sum < topP * total; count++) sum += weights[count]!;
      const { ids } = new Sampler({ topP }).candidates(large, none);
      expect(Math.abs(ids.length - count)).toBeLessThanOrEqual(1); // sums in another order
      expect(Array.from(ids)).toEqual(order.slice(0, ids.length));
    }
  });

  it.each([{ temperature: -1 }, { topK: 0 }, { topP: 0 }, { topP: 1.1 }, { minP: 2 }, { repetitionPenalty: 0 }])(
    "refuses %j",
    (options) => {
      expect(() => new Sampler(options)).toThrow(`${Object.keys(options)[0]}: must be`);
    },
  );

  it("tells log-probabilities", () => {
    const found = logProbabilities(logits, [0, 1, 2, 3]);
    found.forEach((x, i) => expect(x).toBeCloseTo(Math.log(shares[i]!), 6));
  });
});

describe("stop strings", () => {
  const through = (stops: string[], pieces: string[]): string => {
    const watch = new StopWatch(stops);
    let text = "";
    for (const piece of pieces) {
      const released = watch.push(piece);
      text += released.text;
      if (released.stopped !== undefined) return `${text}|${released.stopped}`;
    }
    return text + watch.end();
  };
  it.each([
    [["END"], ["the E", "N", "D.", "x"], "the |END"],
    [["END"], ["the E", "N", "x"], "the ENx"],
    [["END"], ["the EN"], "the EN"],
    [["aab"], ["aa", "a", "b"], "a|aab"],
    [["b", "abc"], ["xab", "c"], "xa|b"],
    [["\n\n", "\n\nUser"], ["a\n", "\nUser"], "a|\n\nUser"],
    [[], ["a", "b"], "ab"],
  ])("%j in %j leave %s", (stops, pieces, wanted) => {
    expect(through(stops, pieces)).toBe(wanted);
  });

  it("need a tokenizer, and prompts a token", () => {
    expect(() => new Continuation([1], { stop: "x" })).toThrow("strings need the tokenizer");
    expect(() => new Continuation([])).toThrow("at least one token");
    expect(() => new Continuation([1], { maxTokens: 0 })).toThrow("at least 1");
  });
});
