// The built package: the same bytes with any number of threads, kill -9 at any moment, and the commands.
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeShardHeader, openTokenShards } from "../../src/data/datasets/index.ts";
import { sha256 } from "../../src/data/formats/index.ts";
import { saveTokenizer, trainBpe, trainChar } from "../../src/data/text/index.ts";
import { root } from "../architecture/imports.ts";
import { buildPackage, main } from "../built-package.ts";
import { byteTokenizer, contentOf, inFolder, textsOf } from "./corpora.ts";

const run = promisify(execFile);
const script = join(root, "test/corpus/prepare.mjs");

/** Many documents of many sizes, some of them twice or nearly so. */
function corpus(documents: number): string {
  const words = Array.from({ length: 300 }, (_, i) => `word${(i * i) % 977}`);
  const lines: string[] = [];
  for (let i = 0; i < documents; i++) {
    const n = 5 + ((i * 7919) % 400);
    const text = Array.from({ length: n }, (_, k) => words[(Math.imul(i % 1900, 31) + k * (1 + (i % 13))) % 300]).join(
      " ",
    );
    lines.push(JSON.stringify({ text: i % 50 === 0 ? `${text} 水𝄞 ` : text }));
  }
  return `${lines.join("\n")}\n`;
}

const folder = join(root, ".cache", "corpus-suite");
const paths = [join(folder, "a.jsonl")];
const task = (out: string, options: object, tokenizer = "bpe"): string =>
  JSON.stringify({ paths, tokenizer: join(folder, tokenizer), options: { out, shardTokens: 100_000, ...options } });

beforeAll(async () => {
  await buildPackage();
  rmSync(folder, { recursive: true, force: true });
  for (const name of ["bpe", "char"]) mkdirSync(join(folder, name), { recursive: true });
  const text = corpus(2000);
  writeFileSync(paths[0]!, text);
  const bpe = await trainBpe([text], { vocabSize: 400, specialTokens: ["<|endoftext|>"] });
  await saveTokenizer(join(folder, "bpe", "tokenizer.json"), bpe);
  await saveTokenizer(join(folder, "char", "tokenizer.json"), await trainChar([text]));
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("worker threads", () => {
  it.each([
    ["bpe", { dedup: "near", valFraction: 0.1 }],
    ["char", { dedup: "exact", limits: { minLength: 300 } }],
  ])("%s: the bytes do not depend on their number", async (tokenizer, options) => {
    await inFolder(async (out) => {
      const results = [];
      for (const workers of [0, 1, 2, 5]) {
        await run(process.execPath, [script, task(out, { ...options, workers, overwrite: true }, tokenizer)]);
        results.push(contentOf(out));
      }
      expect(Object.keys(results[0]!).filter((name) => name.endsWith(".bin")).length).toBeGreaterThan(1);
      for (const result of results.slice(1)) expect(result).toEqual(results[0]);
    });
  });

  it("say which document the tokenizer refuses", async () => {
    await inFolder(async (out) => {
      const path = join(out, "more.jsonl");
      writeFileSync(path, '{"text":"word1"}\n{"text":"word2 Ω"}\n');
      const options = JSON.stringify({ paths: [path], tokenizer: join(folder, "char"), options: { out, workers: 2 } });
      const { status, stderr } = spawnSync(process.execPath, [script, options], { encoding: "utf8" });
      expect(status).not.toBe(0);
      expect(stderr).toMatch(/DataError: .*more\.jsonl:2: /);
    });
  });
});

describe("kill -9", () => {
  it("leaves nothing that looks whole and is not; the next run gives the same bytes", async () => {
    await inFolder(async (parent) => {
      const whole = join(parent, "whole");
      await run(process.execPath, [script, task(whole, { workers: 2, valFraction: 0.1 })]);
      const expected = contentOf(whole);
      const out = join(parent, "killed");
      let killed = 0;
      for (let life = 0; life < 15; life++) {
        const ended = await new Promise<boolean>((resolve, reject) => {
          const child = spawn(process.execPath, [script, task(out, { workers: 2, valFraction: 0.1, overwrite: true })]);
          let text = "";
          child.stdout.on("data", (data: Buffer) => {
            if (text === "") setTimeout(() => child.kill("SIGKILL"), (life * 37) % 120);
            text += data.toString();
          });
          child.on("error", reject);
          child.on("close", () => resolve(text.includes("done")));
        });
        if (!ended) killed++;
        const names = readdirSync(out);
        for (const name of names.filter((one) => /^[a-z]+-\d+\.bin$/.test(one))) {
          const bytes = readFileSync(join(out, name));
          expect(() => decodeShardHeader(name, bytes.subarray(0, 128), bytes.length)).not.toThrow();
          expect(sha256(bytes)).toBe(expected[name]);
        }
        if (names.includes("manifest.json")) {
          for (const split of ["train", "val"]) (await openTokenShards(out, { split, verify: true })).close();
        } else await expect(openTokenShards(out)).rejects.toMatchObject({ code: "no-manifest" });
      }
      expect(killed).toBeGreaterThan(3);
      await run(process.execPath, [script, task(out, { workers: 2, valFraction: 0.1, overwrite: true })]);
      expect(contentOf(out)).toEqual(expected);
    });
  }, 120_000);
});

describe("chainrule data", () => {
  const chainrule = (...args: string[]): { code: number | null; out: string; err: string } => {
    const { FORCE_COLOR: _, NO_COLOR: __, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env });
    return { code: status, out: stdout, err: stderr };
  };

  it("prepare and inspect, as text and JSON", async () => {
    await inFolder(async (out) => {
      const text = join(out, "two.txt");
      writeFileSync(text, "one document\n\nanother one\n\none document\n");
      await saveTokenizer(join(out, "tokenizer.json"), byteTokenizer());
      const tokens = join(out, "tokens");
      const args = ["data", "prepare", text, "-t", out, "-o", tokens, "--blank-lines", "1"];
      const prepared = chainrule(...args, "--json");
      expect(prepared.code, prepared.err).toBe(0);
      expect(JSON.parse(prepared.out)).toMatchObject({ splits: { train: { documents: 2, tokens: 25 } } });
      expect(chainrule(...args)).toMatchObject({ code: 1, out: "" });
      const again = chainrule(...args, "--overwrite");
      expect(again.out).toMatch(/removed +1 exact-duplicate/);
      expect(textsOf(await openTokenShards(tokens), byteTokenizer())).toEqual(["one document", "another one"]);

      const json = chainrule("data", "inspect", tokens, "--time", "8", "--documents", "apart", "--json");
      expect(JSON.parse(json.out)).toMatchObject({
        tokens: 25,
        documents: 2,
        lengths: { shortest: 12, longest: 13, histogram: [{ from: 8, documents: 2 }] },
        packing: { windows: 3, pairs: 23, padding: 1, cut: 0, cutPercent: 0 },
      });
      const shown = chainrule("data", "inspect", tokens);
      expect(shown.out).toMatch(/cut +0\.00 %/);
      expect(shown.out).toContain("o│n│e│ │d│o│c");
      expect(chainrule("data", "inspect", out)).toMatchObject({ code: 1, out: "" });
      expect(chainrule("data", "prepare", text, "-t", out, "-o", tokens, "--val-fraction", "2").code).toBe(2);
    });
  });
});
