// Training: against a trainer that recounts everything after each merge, wherever files are cut, limits and refusals.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ArgumentError, DataError, FormatError } from "../../src/engine/core/index.ts";
import { trainBpe, trainChar, type TrainBpeOptions } from "../../src/data/text/index.ts";
import { bytesInOrder, byteKey } from "../../src/data/text/byte-alphabet.ts";
import { trainMerges } from "../../src/data/text/merge-trainer.ts";
import { patterns } from "../../src/data/text/pretokenize.ts";
import { WordCounter } from "../../src/data/text/word-counter.ts";
import { fixture, fixturePath, texts } from "./texts.ts";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "chainrule-train-"))));
afterAll(() => rm(folder, { recursive: true }));

// The meaning of training, without any of its speed: count all pairs, merge the best one everywhere, begin again.
function naive(text: string, { vocabSize, pattern = "gpt2", minFrequency = 0 }: TrainBpeOptions): [number, number][] {
  const units = Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  const tokens = bytesInOrder.map((byte) => String.fromCharCode(byte));
  const words: number[][] = [];
  for (let at = 0; at < text.length;) {
    const end = patterns[pattern].scan(units, at, text.length);
    const bytes = new TextEncoder().encode(text.slice(at, end));
    words.push(Array.from(bytes, (byte) => bytesInOrder.indexOf(byte)));
    at = end;
  }
  const merges: [number, number][] = [];
  while (tokens.length < vocabSize) {
    const counts = new Map<string, number>();
    for (const word of words)
      for (let i = 0; i + 1 < word.length; i++)
        counts.set(`${word[i]},${word[i + 1]}`, (counts.get(`${word[i]},${word[i + 1]}`) ?? 0) + 1);
    const [best] = [...counts]
      .map(([key, count]) => ({ pair: key.split(",").map(Number) as [number, number], count }))
      .toSorted((a, b) => b.count - a.count || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1]);
    if (best === undefined || best.count < minFrequency) break;
    const [left, right] = best.pair;
    const name = tokens[left]! + tokens[right]!;
    if (!tokens.includes(name)) tokens.push(name);
    const id = tokens.indexOf(name);
    merges.push(best.pair);
    for (const word of words)
      for (let i = 0; i + 1 < word.length; i++) if (word[i] === left && word[i + 1] === right) word.splice(i, 2, id);
  }
  return merges;
}

function pairs(merges: Uint32Array): [number, number][] {
  return Array.from({ length: merges.length / 2 }, (_, i) => [merges[2 * i]!, merges[2 * i + 1]!]);
}

describe("trainBpe", () => {
  it("merges as a trainer that recounts every time", async () => {
    const words = fc
      .array(
        fc.oneof(
          fc.constantFrom("low", "lower", "aaaa", "aaa", "abab", "été", "日本", "...."),
          fc.string({ maxLength: 4 }),
        ),
      )
      .map((list) => list.join(" "));
    const options = fc.record({
      vocabSize: fc.integer({ min: 256, max: 300 }),
      minFrequency: fc.integer({ min: 0, max: 4 }),
      pattern: fc.constantFrom("gpt2" as const, "gpt4" as const),
    });
    await fc.assert(
      fc.asyncProperty(words, options, async (text, options) => {
        expect(pairs((await trainBpe([text], options)).model.merges)).toEqual(naive(text, options));
      }),
      { numRuns: 300 },
    );
  });

  it("counts the same wherever a text is cut into pieces", () => {
    const cuts = fc.array(fc.nat(200), { maxLength: 8 });
    fc.assert(
      fc.property(
        texts,
        cuts,
        fc.constantFrom("gpt2" as const, "gpt4" as const, "qwen2" as const),
        (text, cuts, name) => {
          const count = (parts: readonly string[]): Map<string, number> => {
            const counter = new WordCounter(patterns[name].scan);
            parts.forEach((text, i) => counter.add({ text, last: i === parts.length - 1 }));
            const words = Array.from({ length: counter.size }, (_, i) => String.fromCharCode(...counter.word(i)));
            return new Map(words.map((word, i) => [word, counter.count(i)]));
          };
          const places = [0, ...cuts.map((cut) => Math.min(cut, text.length)), text.length].toSorted((a, b) => a - b);
          const parts = places.slice(1).map((end, i) => text.slice(places[i], end));
          expect(count(parts)).toEqual(count([text]));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("reads files in pieces, also where a character is cut", async () => {
    // Each character has three bytes, so that pieces of 2^20 bytes end inside one.
    const text = `${"日本語の文章。".repeat(60_000)} end`;
    const path = join(folder, "long.txt");
    await writeFile(path, text);
    const options = { vocabSize: 280 };
    expect((await trainBpe({ files: [path] }, options)).toJSON()).toEqual((await trainBpe([text], options)).toJSON());
    expect((await trainChar({ files: [path] })).model).toEqual((await trainChar([text])).model);
  });

  it("takes texts from async iterables, each as a text of its own", async () => {
    const list = async function* (): AsyncGenerator<string> {
      yield "ab";
      yield "ab";
    };
    const { merges } = (await trainBpe(list(), { vocabSize: 300 })).model;
    expect(merges.length).toBe(2); // "ab", and never "abab"
  });

  it("counts exactly up to 2^53 and refuses to go on there", () => {
    const options = { firstId: 0, vocabSize: 258, minFrequency: 0, onMerge: () => {} };
    // In 32 bits both are small numbers, in float32 the same; "cd" is one more.
    const counter = new WordCounter(patterns.gpt2.scan);
    counter.add({ text: "ab", last: true }, 2 ** 51);
    counter.add({ text: "cd", last: true }, 2 ** 51);
    counter.add({ text: "cd", last: true });
    expect(trainMerges(counter, options).tokens.slice(256).map(byteKey)).toEqual(["cd", "ab"]);
    expect(() => counter.add({ text: "ab", last: true }, 2 ** 53)).toThrow(DataError);
  });

  it("says how far it is", async () => {
    const seen: string[] = [];
    await trainBpe(
      { files: [fixturePath("corpus.txt")] },
      { vocabSize: 300, onProgress: ({ stage }) => seen.push(stage) },
    );
    expect(seen.filter((stage) => stage === "merge").length).toBe(44);
    expect(seen[0]).toBe("count");
  });

  it("stops where there is nothing left to merge", async () => {
    const tokenizer = await trainBpe(["ab"], { vocabSize: 1000 });
    expect(tokenizer.vocabSize).toBe(257);
    expect((await trainBpe([], { vocabSize: 256 })).vocabSize).toBe(256);
    expect(byteKey(tokenizer.tokenBytes(256))).toBe("ab");
  });

  it.each([
    [{ vocabSize: 255 }],
    [{ vocabSize: 256.5 }],
    [{ vocabSize: 257, specialTokens: ["<a>", "<b>"] }],
    [{ vocabSize: 300, specialTokens: ["<a>", "<a>"] }],
    [{ vocabSize: 300, specialTokens: [""] }],
    [{ vocabSize: 300, specialTokens: ["x"] }],
    [{ vocabSize: 300, minFrequency: -1 }],
    [{ vocabSize: 300, pattern: "gpt5" as "gpt4" }],
    [{ vocabSize: 300, pattern: "__proto__" as "gpt4" }],
  ])("refuses %j", async (options) => {
    await expect(trainBpe([fixture("corpus.txt")], options)).rejects.toThrow(ArgumentError);
  });

  it("refuses files that are missing or no UTF-8", async () => {
    const path = join(folder, "latin1.txt");
    await writeFile(path, Uint8Array.of(0x61, 0xe9, 0x62));
    await expect(trainBpe({ files: [path] }, { vocabSize: 300 })).rejects.toMatchObject({
      code: "bad-utf8",
      where: path,
    });
    await expect(trainBpe({ files: [join(folder, "none")] }, { vocabSize: 300 })).rejects.toThrow(FormatError);
    await writeFile(path, Uint8Array.of(0x61, 0xe6, 0x97)); // ends inside a character
    await expect(trainBpe({ files: [path] }, { vocabSize: 300 })).rejects.toMatchObject({ code: "bad-utf8" });
  });
});
