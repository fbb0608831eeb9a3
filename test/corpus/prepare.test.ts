// prepareCorpus: any documents become shards that hold the same documents, in a folder that is whole or refused.
import { existsSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ArgumentError, DataError, FormatError } from "../../src/engine/core/index.ts";
import { openTokenShards } from "../../src/data/datasets/index.ts";
import { prepareCorpus, trainChar } from "../../src/data/text/index.ts";
import { byteTokenizer, contentOf, inFolder, stream, textsOf } from "./corpora.ts";

const tokenizer = byteTokenizer();
const words = fc.array(fc.constantFrom("to", "be", "or", "not", "ja", "水", "𝄞", "\n", "<|endoftext|>"), {
  maxLength: 30,
});
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  words.map((list) => list.join(" ")),
);

describe("prepareCorpus", () => {
  it("gives the same documents back, whatever they are, in shards of any size", async () => {
    const cases = fc.record({
      texts: fc.array(text, { minLength: 1, maxLength: 20 }),
      shardTokens: fc.integer({ min: 1, max: 200 }),
      memory: fc.constantFrom(0, 2 ** 28),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ texts, shardTokens, memory }) => {
        const some = texts.filter((one) => /\S/.test(one));
        fc.pre(some.length > 0);
        await inFolder(async (out) => {
          await prepareCorpus(stream(texts), tokenizer, { out, dedup: "none", shardTokens });
          const shards = await openTokenShards(out, { verify: true, memory });
          expect(textsOf(shards, tokenizer)).toEqual(some);
          shards.close();
        });
      }),
      { numRuns: 60 },
    );
  });

  it("holds out the same documents whatever else there is, and keeps every document in one part", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(text, { minLength: 2, maxLength: 30 }), async (texts) => {
        const held = async (some: readonly string[]): Promise<{ train: string[]; val: string[] }> =>
          inFolder(async (out) => {
            await prepareCorpus(stream(some), tokenizer, { out, valFraction: 0.5 });
            const [train, val] = await Promise.all(["train", "val"].map((split) => openTokenShards(out, { split })));
            return { train: textsOf(train!, tokenizer), val: textsOf(val!, tokenizer) };
          });
        const half = texts.slice(0, Math.ceil(texts.length / 2));
        fc.pre(half.some((one) => /\S/.test(one)));
        const [few, many] = [await held(half), await held(texts)];
        expect(many.val).toEqual(expect.arrayContaining(few.val));
        expect(many.train).toEqual(expect.arrayContaining(few.train));
      }),
      { numRuns: 20 },
    );
  });

  it("counts what it leaves out, with samples, and leaves out nothing else", async () => {
    await inFolder(async (out) => {
      const base = Array.from({ length: 200 }, (_, i) => `word${(i * 37) % 101}`).join(" ");
      const texts = [base, " \n ", `  ${base}\n`, `${base} and so on`, "short", "!!!! ???? .... ,,,, ;;;;"];
      const limits = { minLength: 10, minLetters: 0.5 };
      const { about, splits } = await prepareCorpus(stream(texts), tokenizer, { out, dedup: "near", limits });
      const removed = about["removed"] as {
        [reason: string]: { documents: number; samples: { line: number; of?: string }[] };
      };
      expect(
        Object.entries(removed).map(([reason, { documents, samples }]) => [reason, documents, samples[0]!.line]),
      ).toEqual([
        ["empty", 1, 2],
        ["too-short", 1, 5],
        ["few-letters", 1, 6],
        ["exact-duplicate", 1, 3],
        ["near-duplicate", 1, 4],
      ]);
      expect(removed["near-duplicate"]!.samples[0]!.of).toBe("memory:1");
      expect(splits["train"]!.documents).toBe(1);
      expect(about["read"]).toMatchObject({ documents: 6 });
    });
  });

  it("puts marks around documents", async () => {
    await inFolder(async (out) => {
      const manifest = await prepareCorpus(stream(["ab", "c"]), tokenizer, { out, begin: "<|endoftext|>", end: null });
      expect([manifest.begin, manifest.end]).toEqual([{ token: "<|endoftext|>", id: 256 }, null]);
      const shards = await openTokenShards(out);
      const ids = new Uint32Array(shards.tokens);
      shards.read(0, ids);
      expect([...ids]).toEqual([256, 97, 98, 256, 99]);
      expect([shards.start(0), shards.start(1), shards.start(2)]).toEqual([0, 3, 5]);
    });
  });

  it("refuses what cannot be, before it touches anything", async () => {
    await inFolder(async (folder) => {
      const out = join(folder, "out");
      const run = (options: object, texts: readonly string[] = ["a"]): Promise<unknown> =>
        prepareCorpus(stream(texts), tokenizer, { out, ...options });
      await expect(run({ valFraction: 1 })).rejects.toThrow(ArgumentError);
      await expect(run({ end: "<|nope|>" })).rejects.toThrow(/no special token/);
      await expect(run({ limits: { minLetters: 2 } })).rejects.toThrow(/share from 0 to 1/);
      await expect(run({ limits: { minLeters: 0.5 } })).rejects.toThrow(ArgumentError);
      await expect(run({ dedup: "fuzzy" })).rejects.toThrow(ArgumentError);
      expect(existsSync(out)).toBe(false);
      await expect(run({}, [" "])).rejects.toThrow(DataError);
      await expect(openTokenShards(out)).rejects.toMatchObject({ code: "no-manifest" });
    });
  });

  it("names the document that the tokenizer refuses", async () => {
    await inFolder(async (out) => {
      const chars = await trainChar(["abc"]);
      await expect(prepareCorpus(stream(["abc", "cab", "abd"]), chars, { out })).rejects.toThrow(/^memory:3: /);
    });
  });

  it("does not overwrite unless asked, and takes away only what is its own", async () => {
    await inFolder(async (out) => {
      writeFileSync(join(out, "notes.txt"), "mine");
      writeFileSync(join(out, "train-00007.bin"), "left by a run that was killed");
      writeFileSync(join(out, ".train-00000.bin.0123456789ab.tmp"), "half");
      await prepareCorpus(stream(["one"]), tokenizer, { out });
      const first = contentOf(out);
      expect(Object.keys(first)).toEqual(["manifest.json", "notes.txt", "tokenizer.json", "train-00000.bin"]);
      await expect(prepareCorpus(stream(["two"]), tokenizer, { out })).rejects.toThrow(/holds a prepared corpus/);
      expect(contentOf(out)).toEqual(first);
      await prepareCorpus(stream(["two"]), tokenizer, { out, overwrite: true });
      expect(textsOf(await openTokenShards(out), tokenizer)).toEqual(["two"]);
    });
  });

  it("stops when asked, and leaves a folder that is refused", async () => {
    await inFolder(async (out) => {
      const abort = new AbortController();
      const endless = (async function* () {
        for (let i = 0; ; i++) {
          if (i === 5000) abort.abort(new Error("enough"));
          yield { text: `document ${i}`, source: "memory" };
        }
      })();
      await expect(prepareCorpus(endless, tokenizer, { out, signal: abort.signal })).rejects.toThrow("enough");
      await expect(openTokenShards(out)).rejects.toMatchObject({ code: "no-manifest" });
    });
  });
});

describe("openTokenShards", () => {
  const refused = async (damage: (folder: string) => void, code: string, options: object = {}): Promise<void> =>
    inFolder(async (out) => {
      await prepareCorpus(stream(["one", "two", "three"]), tokenizer, { out });
      damage(out);
      const error = await openTokenShards(out, options).then(
        () => undefined,
        (caught: unknown) => caught,
      );
      expect(error).toBeInstanceOf(FormatError);
      expect((error as FormatError).code).toBe(code);
    });
  const shard = (folder: string): string => join(folder, "train-00000.bin");
  const patch = (folder: string, at: number, bytes: number[]): void => {
    const content = readFileSync(shard(folder));
    content.set(bytes, at);
    writeFileSync(shard(folder), content);
  };
  const manifest = (folder: string, from: string | RegExp, to: string): void => {
    const path = join(folder, "manifest.json");
    const before = readFileSync(path, "utf8");
    const after = before.replace(from, to);
    expect(after).not.toBe(before);
    writeFileSync(path, after);
  };
  it.each<[string, string, (folder: string) => void, object?]>([
    ["empty file", "truncated", (f) => truncateSync(shard(f), 0)],
    ["header cut short", "truncated", (f) => truncateSync(shard(f), 100)],
    ["tokens cut short", "truncated", (f) => truncateSync(shard(f), 140)],
    ["last byte missing", "truncated", (f) => truncateSync(shard(f), readFileSync(shard(f)).length - 1)],
    [
      "a byte too many",
      "size-mismatch",
      (f) => writeFileSync(shard(f), Buffer.concat([readFileSync(shard(f)), Buffer.alloc(1)])),
    ],
    ["another file", "bad-magic", (f) => patch(f, 0, [0x50, 0x4b, 3, 4])],
    ["version 2", "unknown-version", (f) => patch(f, 8, [2])],
    ["three bytes a token", "bad-header", (f) => patch(f, 12, [3])],
    ["four bytes a token", "bad-header", (f) => patch(f, 12, [4])],
    ["more tokens", "bad-header", (f) => patch(f, 16, [255])],
    ["2^64 − 1 tokens", "bad-header", (f) => patch(f, 16, [255, 255, 255, 255, 255, 255, 255, 255])],
    ["more documents", "truncated", (f) => patch(f, 24, [9])],
    ["2^40 documents", "bad-header", (f) => patch(f, 24, [0, 0, 0, 0, 0, 1])],
    ["an index elsewhere", "bad-header", (f) => patch(f, 32, [255])],
    ["no vocabulary", "bad-header", (f) => patch(f, 40, [0, 0, 0, 0])],
    ["another vocabulary", "wrong-tokenizer", (f) => patch(f, 40, [2, 2])],
    ["another tokenizer", "wrong-tokenizer", (f) => patch(f, 48, [1, 2, 3])],
    ["bytes in the reserve", "bad-header", (f) => patch(f, 100, [1])],
    ["first border", "bad-index", (f) => patch(f, readFileSync(shard(f)).length - 16, [1])],
    ["borders that go back", "bad-index", (f) => patch(f, readFileSync(shard(f)).length - 12, [200])],
    ["last border", "bad-index", (f) => patch(f, readFileSync(shard(f)).length - 4, [12])],
    ["a changed token", "wrong-hash", (f) => patch(f, 128, [0]), { verify: true }],
    ["a missing shard", "unreadable", (f) => unlinkSync(shard(f))],
    ["no manifest", "no-manifest", (f) => unlinkSync(join(f, "manifest.json"))],
    ["half a manifest", "syntax", (f) => truncateSync(join(f, "manifest.json"), 200)],
    ["another manifest", "bad-manifest", (f) => writeFileSync(join(f, "manifest.json"), "{}")],
    ["a manifest of version 2", "bad-manifest", (f) => manifest(f, '"version": 1', '"version": 2')],
    ["a path that leads out", "bad-manifest", (f) => manifest(f, "train-00000.bin", "../train-00000.bin")],
    ["other counts", "bad-manifest", (f) => manifest(f, '"documents": 3', '"documents": 4')],
    ["negative counts", "bad-manifest", (f) => manifest(f, '"tokens": 14', '"tokens": -14')],
  ])("refuses %s: %s", async (_, code, damage, options) => refused(damage, code, options));

  it("refuses a token outside the vocabulary when it is read", async () => {
    await inFolder(async (out) => {
      await prepareCorpus(stream(["one"]), tokenizer, { out });
      patch(out, 128, [2, 1]);
      const shards = await openTokenShards(out);
      expect(() => shards.read(0, new Int32Array(2))).toThrow(/token 0 is 258: the vocabulary has 257/);
    });
  });

  it("takes the control, and names a split that is not there", async () => {
    await inFolder(async (out) => {
      await prepareCorpus(stream(["one", "two", "three"]), tokenizer, { out });
      expect((await openTokenShards(out, { verify: true })).tokens).toBe(14);
      await expect(openTokenShards(out, { split: "val" })).rejects.toThrow(/no split `val`/);
      await expect(openTokenShards(out, { split: "__proto__" })).rejects.toThrow(ArgumentError);
    });
  });
});
