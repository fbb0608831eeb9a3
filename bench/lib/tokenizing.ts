// The process of the tokenizer benchmark: trains on a file, or encodes documents with GPT-2's ranks by us or by js-tiktoken.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { saveTokenizer, tiktoken, trainBpe, type BpeTokenizer } from "chainrule/text";
import { Tiktoken } from "js-tiktoken/lite";
import gpt2 from "js-tiktoken/ranks/gpt2";

/** What a run says. */
export interface Tokenizing {
  readonly seconds: number;
  readonly peakBytes: number;
  /** Over the ids of all documents, or the merges. */
  readonly hash: string;
  readonly count: number;
  readonly version?: string;
}

const [how, file, ...rest] = process.argv.slice(2) as [string, string, ...string[]];

function say(result: Omit<Tokenizing, "peakBytes">): void {
  console.log(JSON.stringify({ ...result, peakBytes: process.resourceUsage().maxRSS * 1024 }));
}

function hashOf(lists: Iterable<ArrayLike<number>>): { hash: string; count: number } {
  const hash = createHash("sha256");
  let count = 0;
  for (const ids of lists) {
    hash.update(new Uint8Array(Uint32Array.from(ids).buffer));
    count += ids.length;
  }
  return { hash: hash.digest("hex"), count };
}

function ranks(): BpeTokenizer {
  const pairs = gpt2.bpe_ranks.split("\n").flatMap((line) => {
    const [, first, ...tokens] = line.split(" ");
    return tokens.map((token, i) => [new Uint8Array(Buffer.from(token, "base64")), Number(first) + i] as const);
  });
  return tiktoken(pairs, { pattern: "gpt2", specialTokens: gpt2.special_tokens });
}

// Random strings of all kinds of characters, the same for everybody.
function random(count: number): string[] {
  let state = 1;
  const next = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const ranges = [
    [0x20, 0x7e],
    [0x61, 0x7a],
    [0x20, 0x20],
    [0x00, 0x20],
    [0xa0, 0x24f],
    [0x370, 0x5ff],
    [0x4e00, 0x9fff],
    [0x1f300, 0x1f6ff],
    [0x00, 0x10ffff],
  ] as const;
  return Array.from({ length: count }, () => {
    let text = "";
    for (let i = next(30); i >= 0; i--) {
      const [low, high] = ranges[next(ranges.length)]!;
      const point = low + next(high - low + 1);
      // Where js-tiktoken's \s is not tiktoken's (U+0085, U+FEFF), and halves of pairs.
      if (point !== 0x85 && point !== 0xfeff && (point < 0xd800 || point > 0xdfff)) text += String.fromCodePoint(point);
    }
    return text;
  });
}

async function train(): Promise<void> {
  const [vocabSize, out] = rest as [string, string];
  const began = performance.now();
  const tokenizer = await trainBpe({ files: [file] }, { vocabSize: Number(vocabSize) });
  const seconds = (performance.now() - began) / 1000;
  await saveTokenizer(out, tokenizer);
  say({ seconds, ...hashOf([tokenizer.model.merges]) });
}

function encode(): void {
  const [who, repeat] = rest as ["ours" | "js-tiktoken", string];
  const documents = file === "random" ? random(100_000) : (JSON.parse(readFileSync(file, "utf8")) as string[]);
  const made = (): ((text: string) => ArrayLike<number>) => {
    if (who === "js-tiktoken") {
      const theirs = new Tiktoken(gpt2);
      return (text) => theirs.encode(text, [], []);
    }
    const ours = ranks();
    return (text) => ours.encode(text);
  };
  // Warmed on a part; each round with a new tokenizer, whose cache has seen none of the words.
  const warm = made();
  documents.filter((_, i) => i % 16 === 0).forEach((text) => warm(text));
  const times: number[] = [];
  let lists: ArrayLike<number>[] = [];
  for (let i = 0; i < Number(repeat); i++) {
    const encode = made();
    const began = performance.now();
    lists = documents.map((text) => encode(text));
    times.push((performance.now() - began) / 1000);
  }
  say({ seconds: times.toSorted((a, b) => a - b)[times.length >> 1]!, ...hashOf(lists) });
}

if (how === "train") await train();
else if (how === "encode") encode();
else {
  await saveTokenizer(file, ranks());
  say({ seconds: 0, hash: "", count: 0 });
}
