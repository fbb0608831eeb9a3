// Against Hugging Face's tokenizers and tiktoken: training, ids, offsets, decoding, files (test/fixtures/text).
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  loadMerges,
  loadTiktoken,
  loadTokenizer,
  parseTokenizer,
  saveTokenizer,
  trainBpe,
  type BpeTokenizer,
  type Tokenizer,
} from "../../src/data/text/index.ts";
import { fixture, fixturePath } from "./texts.ts";

interface Row {
  readonly ids: readonly number[];
  readonly offsets: readonly number[];
}
const cases = JSON.parse(fixture("cases.json")) as {
  readonly [name in "texts" | "legacy texts" | "chars texts"]: readonly string[];
} & {
  readonly [name in "gpt2" | "gpt2 special" | "gpt4" | "legacy" | "legacy around" | "chars"]: readonly Row[];
} & {
  readonly [name in "tiktoken" | "tiktoken special"]: readonly (readonly number[])[];
} & { readonly decode: readonly { readonly ids: number[]; readonly text: string; readonly skipped: string }[] };

const ids = (list: readonly string[], encode: (text: string) => ArrayLike<number>): number[][] =>
  list.map((text) => Array.from(encode(text)));

function rows(tokenizer: Tokenizer, list: readonly string[], allowedSpecial: "all" | [] = []): Row[] {
  return list.map((text) => {
    const { ids, start, end } = tokenizer.encodeWithOffsets(text, { allowedSpecial });
    return { ids: Array.from(ids), offsets: Array.from(start).flatMap((from, i) => [from, end[i]!]) };
  });
}

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "chainrule-text-"))));
afterAll(() => rm(folder, { recursive: true }));

describe("Hugging Face's tokenizers", () => {
  it("trains the same: the file of a GPT-2 tokenizer is the same byte for byte", async () => {
    const options = { vocabSize: 620, specialTokens: ["<|endoftext|>", "<|x|>"] };
    const path = join(folder, "gpt2.json");
    await saveTokenizer(path, await trainBpe({ files: [fixturePath("corpus.txt")] }, options));
    expect(await readFile(path, "utf8")).toBe(fixture("gpt2.json"));
  });

  it("trains the same with GPT-4's pattern, line by line, with a minimum frequency", async () => {
    const lines = fixture("corpus.txt")
      .split("\n")
      .map((line) => `${line}\n`);
    const tokenizer = await trainBpe(lines, { vocabSize: 560, pattern: "gpt4", minFrequency: 3 });
    expect(tokenizer.toJSON()).toEqual(JSON.parse(fixture("gpt4.json")));
  });

  it("encodes the same, with the same offsets", async () => {
    const gpt2 = await loadTokenizer(fixturePath("gpt2.json"));
    // Of a special token in text nothing is special.
    expect(rows(gpt2, cases.texts)).toEqual(cases.gpt2);
    expect(rows(gpt2, cases.texts, "all")).toEqual(cases["gpt2 special"]);
    expect(rows(await loadTokenizer(fixturePath("gpt4.json")), cases.texts)).toEqual(cases.gpt4);
  });

  it("encodes the same with a blank before, tokens that take white space, whole words and a template", async () => {
    const legacy = await loadTokenizer(fixturePath("legacy.json"));
    expect(rows(legacy, cases["legacy texts"], "all")).toEqual(cases.legacy);
    const around = cases["legacy texts"].map((text) =>
      Array.from(legacy.encode(text, { allowedSpecial: "all", addSpecialTokens: true })),
    );
    expect(around).toEqual(cases["legacy around"].map(({ ids }) => ids));
  });

  it("decodes the same, also ids that are no text together", async () => {
    const gpt2 = await loadTokenizer(fixturePath("gpt2.json"));
    for (const { ids, text, skipped } of cases.decode) {
      expect(gpt2.decode(ids)).toBe(text);
      expect(gpt2.decode(ids, { skipSpecial: true })).toBe(skipped);
    }
  });

  it("reads a character tokenizer the same", async () => {
    expect(rows(await loadTokenizer(fixturePath("chars.json")), cases["chars texts"])).toEqual(cases.chars);
  });

  it.each(["gpt2.json", "gpt4.json", "legacy.json", "chars.json"])("%s comes back byte for byte", async (name) => {
    const path = join(folder, name);
    await saveTokenizer(path, await loadTokenizer(fixturePath(name)));
    expect(await readFile(path, "utf8")).toBe(fixture(name));
    expect(parseTokenizer(await readFile(path, "utf8")).toJSON()).toEqual(JSON.parse(fixture(name)));
  });

  it("reads vocab.json and merges.txt as the tokenizer they came from", async () => {
    const [vocab, merges] = [fixturePath("vocab.json"), fixturePath("merges.txt")];
    const gpt2 = await loadMerges(vocab, merges, { specialTokens: ["<|endoftext|>", "<|x|>"] });
    expect(ids(cases.texts, (text) => gpt2.encode(text))).toEqual(cases.gpt2.map(({ ids }) => ids));
    const special = ids(cases.texts, (text) => gpt2.encode(text, { allowedSpecial: "all" }));
    expect(special).toEqual(cases["gpt2 special"].map(({ ids }) => ids));
  });
});

describe("tiktoken", () => {
  const load = (): Promise<BpeTokenizer> =>
    loadTiktoken(fixturePath("gpt4.tiktoken"), { pattern: "gpt4", specialTokens: { "<|endoftext|>": 1000 } });

  it("encodes the same from its ranks", async () => {
    const tokenizer = await load();
    expect(ids(cases.texts, (text) => tokenizer.encode(text))).toEqual(cases.tiktoken);
    expect(ids(cases.texts, (text) => tokenizer.encode(text, { allowedSpecial: ["<|endoftext|>"] }))).toEqual(
      cases["tiktoken special"],
    );
    expect(tokenizer.vocabSize).toBe(1001);
  });

  it("is a tokenizer.json once saved", async () => {
    const path = join(folder, "from-tiktoken.json");
    await saveTokenizer(path, await load());
    const tokenizer = await loadTokenizer(path);
    expect(ids(cases.texts, (text) => tokenizer.encode(text))).toEqual(cases.tiktoken);
  });
});
