// Pre-tokenization: the scanners against the regular expressions they stand for, and cutting of texts at sure borders.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutPoint, patterns, type PatternName } from "../../src/data/text/pretokenize.ts";
import { texts } from "./texts.ts";

const names = Object.keys(patterns) as PatternName[];

// JavaScript's expressions of this age have no (?i:…) and another \s.
function asJavaScript(regex: string): RegExp {
  const source = regex
    .replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'[sS\u017f]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]")
    .replaceAll("\\S", "\\P{White_Space}")
    .replaceAll("\\s", "\\p{White_Space}");
  return new RegExp(source, "gu");
}

function unitsOf(text: string): Uint16Array {
  return Uint16Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

function words(text: string, name: PatternName): string[] {
  const units = unitsOf(text);
  const list: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = patterns[name].scan(units, at, text.length);
    list.push(text.slice(at, end));
    at = end;
  }
  return list;
}

describe.each(names)("%s", (name) => {
  it("scans as the regular expression matches", () => {
    const regex = asJavaScript(patterns[name].regex);
    fc.assert(
      fc.property(texts, (text) => {
        expect(words(text, name)).toEqual(text.match(regex) ?? []);
      }),
      { numRuns: 5000 },
    );
  });

  it("gives the words of the whole text wherever it is cut at a sure border", () => {
    fc.assert(
      fc.property(texts, texts, (before, after) => {
        const units = unitsOf(before);
        const cut = cutPoint(units, 0, units.length);
        const all = before + after;
        expect([...words(all.slice(0, cut), name), ...words(all.slice(cut), name)]).toEqual(words(all, name));
      }),
      { numRuns: 5000 },
    );
  });
});

describe("cutPoint", () => {
  it("finds a border in usual text", () => {
    const units = unitsOf("one two, thr");
    expect(cutPoint(units, 0, units.length)).toBe("one two,".length - 1 + 0);
    expect(cutPoint(unitsOf("      "), 0, 6)).toBe(0);
  });
});
