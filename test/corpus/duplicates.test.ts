// Duplicates and quality: the set is exact, the sketch estimates what it says, and the filters measure what they name.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError } from "../../src/engine/core/index.ts";
import {
  ExactDuplicates,
  faultOf,
  fingerprint,
  minHash,
  NearDuplicates,
  normalizedText,
  qualityLimits,
  scanWords,
  shingles,
  similarity,
} from "../../src/data/datasets/index.ts";

const prose = (seed: number, words: number): string[] =>
  Array.from({ length: words }, (_, i) => `w${Math.imul(seed + i, 0x9e3779b9) >>> 12}`);

/** Jaccard similarity of the sets of runs of five words. */
function jaccard(a: string, b: string): number {
  const [one, two] = [a, b].map((text) => new Set(shingles(scanWords(text).words, 5)));
  const both = [...one!].filter((run) => two!.has(run)).length;
  return both / (one!.size + two!.size - both);
}

describe("exact duplicates", () => {
  it("are a set of keys, however many", () => {
    const texts = Array.from({ length: 5000 }, (_, i) => `text ${i % 3000}`);
    const set = new ExactDuplicates();
    const added = texts.map((text) => set.add(fingerprint(text).key));
    expect(added.filter(Boolean)).toHaveLength(3000);
    expect(added.slice(0, 3000).every(Boolean)).toBe(true);
  });

  it("take texts that differ in white space and Unicode form for equal, and no others", () => {
    expect(normalizedText("  a\u0301 \r\n\t b ")).toBe("á b");
    const key = (text: string): string => String(fingerprint(text).key);
    expect(key("to be\nor not")).toBe(key(" to  be or\tnot\n"));
    expect(key("To be")).not.toBe(key("to be"));
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(normalizedText(text)).toBe(text.normalize("NFC").replace(/\s+/g, " ").trim());
      }),
    );
  });

  it("draw evenly: a tenth of the documents is a tenth", () => {
    const draws = Array.from({ length: 4000 }, (_, i) => fingerprint(`document ${i}`).draw);
    const held = draws.filter((draw) => draw < 0.1).length;
    expect(Math.abs(held - 400)).toBeLessThan(5 * Math.sqrt(360));
  });
});

describe("near duplicates", () => {
  it("are estimated within the stated error", () => {
    for (let changed = 0; changed <= 60; changed += 4) {
      const words = prose(1, 400);
      const other = words.map((word, i) => (i % Math.ceil(400 / (changed + 1)) === 7 ? `x${i}` : word));
      const [a, b] = [words.join(" "), other.join(" ")];
      const error = similarity(minHash(a)!, minHash(b)!) - jaccard(a, b);
      expect(Math.abs(error), `${changed} words changed`).toBeLessThan(4 * 0.045);
    }
  });

  it("are found above the threshold, and others are not", () => {
    const near = new NearDuplicates(0.8);
    const texts = Array.from({ length: 400 }, (_, i) => prose(i * 1000, 300));
    for (const words of texts) {
      const signature = minHash(words.join(" "))!;
      expect(near.find(signature)).toBeUndefined();
      near.add(signature);
    }
    texts.forEach((words, i) => {
      const edited = [...words.slice(0, 150), "inserted", ...words.slice(150)].join(" ");
      expect(jaccard(words.join(" "), edited)).toBeGreaterThan(0.95);
      expect(near.find(minHash(edited)!)?.document).toBe(i);
      // Half of it new: similarity a third.
      expect(near.find(minHash([...words.slice(0, 150), ...prose(-5000 - i * 1000, 150)].join(" "))!)).toBeUndefined();
    });
  });

  it("need no spaces between words, and no words at all", () => {
    expect(minHash("... !!! 🙂".replace("🙂", ""))).toBeUndefined();
    const chinese = "人之初性本善性相近习相远苟不教性乃迁教之道贵以专昔孟母择邻处子不学断机杼";
    expect(similarity(minHash(chinese)!, minHash(`${chinese}。`)!)).toBe(1);
    expect(similarity(minHash(chinese)!, minHash([...chinese].reverse().join(""))!)).toBeLessThan(0.1);
  });

  it("refuses a threshold that is none", () => expect(() => new NearDuplicates(0)).toThrow(ArgumentError));
});

describe("quality", () => {
  const letters = (word: string): string => word.replace(/\d/g, (digit) => "abcdefghij"[Number(digit)]!);
  const good = prose(3, 300).map(letters).join(" ");
  it.each<[string, string, object]>([
    ["empty", " \n\t", {}],
    ["too-short", "abc", { minLength: 4 }],
    ["too-long", "abc", { maxLength: 2 }],
    ["few-letters", "12 34 56 78 ab", qualityLimits],
    ["control-characters", `some words and \u0000\u0001 ${"more ".repeat(5)}`, qualityLimits],
    ["long-words", `data: ${"QUJD".repeat(100)} end`, qualityLimits],
    ["repeated-lines", `one line here\n${"the same line\n".repeat(5)}`, { maxRepeatedLines: 0.3 }],
    ["repeated-words", "buy now and save big ".repeat(20), qualityLimits],
  ])("finds %s", (reason, text, limits) => {
    expect(faultOf(text, limits)?.reason).toBe(reason);
    expect(faultOf(good, { ...qualityLimits, minLength: 4 })).toBeUndefined();
  });

  it("keeps prose of other scripts", () => {
    const chinese = Array.from({ length: 400 }, (_, i) => String.fromCharCode(0x4e00 + ((i * 7919) % 5000))).join("");
    const thai = "ประชาชนทุกคนมีสิทธิเสรีภาพในการแสดงความคิดเห็นและการพูดการเขียนการพิมพ์การโฆษณา".repeat(1);
    const russian = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему.";
    for (const text of [chinese, thai, russian]) expect(faultOf(text, qualityLimits)).toBeUndefined();
  });

  it("counts characters as the expressions that define them do", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "É", "ß", "9", " ", "\n", "\u0007", "\uFFFD", "水", "-", "٣", "ä") }),
        (text) => {
          const scan = scanWords(text);
          expect(scan.letters).toBe(text.match(/[\p{L}\p{M}]/gu)?.length ?? 0);
          expect(scan.control).toBe(text.split(/[\p{Cc}\uFFFD]/u).length - 1 - text.split("\n").length + 1);
          expect(scan.visible).toBe(text.length - scan.control - (text.match(/\s/g)?.length ?? 0));
          const words = text.match(/\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{M}\p{N}])+/gu) ?? [];
          expect(scan.words).toHaveLength(words.length);
        },
      ),
    );
  });
});
