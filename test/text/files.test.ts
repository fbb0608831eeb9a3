// Files of tokenizers: what is refused, with which code and which name; tokens that are hard to write.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FormatError } from "../../src/engine/core/index.ts";
import {
  loadMerges,
  loadTokenizer,
  parseTokenizer,
  saveTokenizer,
  tiktoken,
  trainBpe,
  trainChar,
} from "../../src/data/text/index.ts";
import { fixture, fixturePath } from "./texts.ts";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "chainrule-files-"))));
afterAll(() => rm(folder, { recursive: true }));

// A value that is looked into by names alone: the file is known.
interface Json {
  [key: string]: Json;
}

function refusal(work: () => unknown): { code: string; problem: string } {
  try {
    work();
  } catch (error) {
    if (error instanceof FormatError) return { code: error.code, problem: error.problem };
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("tokenizer.json", () => {
  const base = fixture("gpt2.json");
  const changed = (change: (file: Json) => void): string => {
    const file = JSON.parse(base) as Json;
    change(file);
    return JSON.stringify(file);
  };
  const set = (path: string, value: unknown): ((file: Json) => void) => {
    const keys = path.split(".");
    const last = keys.pop()!;
    return (file) => void (keys.reduce((at, key) => at[key]!, file)[last] = value as Json);
  };

  it.each<[string, unknown, string]>([
    ["surprise", 1, "unsupported"],
    ["version", "2.0", "unsupported"],
    ["truncation", { max_length: 5 }, "unsupported"],
    ["padding", {}, "unsupported"],
    ["normalizer", { type: "Lowercase" }, "unsupported"],
    ["normalizer", { type: "NFC", more: 1 }, "unsupported"],
    ["pre_tokenizer", null, "unsupported"],
    ["pre_tokenizer", { type: "Whitespace" }, "unsupported"],
    ["pre_tokenizer.use_regex", false, "unsupported"],
    ["pre_tokenizer.use_regex", "yes", "wrong-type"],
    ["pre_tokenizer.more", 1, "unsupported"],
    ["post_processor", { type: "BertProcessing" }, "unsupported"],
    ["decoder", null, "unsupported"],
    ["decoder", { type: "WordPiece" }, "unsupported"],
    ["model.type", "Unigram", "unsupported"],
    ["model.more", 1, "unsupported"],
    ["model.dropout", 0.1, "unsupported"],
    ["model.byte_fallback", true, "unsupported"],
    ["model.continuing_subword_prefix", "##", "unsupported"],
    ["model.end_of_word_suffix", "</w>", "unsupported"],
    ["model.unk_token", 5, "wrong-type"],
    ["model.vocab", [], "wrong-type"],
    ["model.vocab.日", 700, "bad-token"],
    ["model.vocab.zzzz", 5, "duplicate-id"],
    ["model.vocab.zzzz", -1, "wrong-type"],
    ["model.vocab.zzzz", 1e15, "wrong-type"],
    ["model.vocab.zzzz", "7", "wrong-type"],
    ["model.vocab", {}, "unknown-token"],
    ["model.merges", [["Ġ", "?x"]], "unknown-token"],
    ["model.merges", ["Ġ"], "wrong-type"],
    ["model.merges", [["Ġ", "d"], "t h"], "wrong-type"],
    ["model.merges", [["!", "!"]], "merge-without-token"],
    ["model.merges", {}, "wrong-type"],
    ["added_tokens.0.id", 7, "duplicate-id"],
    ["added_tokens.0.id", 1.5, "wrong-type"],
    ["added_tokens.0.content", "", "bad-token"],
    ["added_tokens.0.content", "<|x|>", "duplicate-id"],
    ["added_tokens.0.more", true, "unsupported"],
  ])("refuses %s = %j as %s", (path, value, code) => {
    const { code: received, problem } = refusal(() => parseTokenizer(changed(set(path, value))));
    expect(received).toBe(code);
    expect(problem).toMatch(new RegExp(`${path.split(".")[0]!}|^merge 0|model\\.vocab: .* as an added token`));
  });

  it("refuses a vocabulary without all bytes", () => {
    const text = changed((file) => {
      delete file["model"]!["vocab"]!["Ā"];
      set("model.merges", [])(file);
    });
    expect(refusal(() => parseTokenizer(text)).code).toBe("missing-bytes");
  });

  it("refuses unknown regular expressions instead of running them", () => {
    const text = fixture("gpt4.json").replace(/"Regex": ".*"/, '"Regex": "(a+)+$"');
    const { code, problem } = refusal(() => parseTokenizer(text));
    expect(code).toBe("unsupported");
    expect(problem).toContain("(a+)+$");
  });

  it.each(["WordPiece", "Unigram"])("refuses %s clearly", async (name) => {
    const path = fixturePath(`refused-${name.toLowerCase()}.json`);
    await expect(loadTokenizer(path)).rejects.toMatchObject({ code: "unsupported", where: path });
    await expect(loadTokenizer(path)).rejects.toThrow(name);
  });

  it("refuses what is no JSON, or JSON with tricks", () => {
    expect(refusal(() => parseTokenizer(base.slice(0, 500))).code).toBe("syntax");
    expect(refusal(() => parseTokenizer(base.replace('"!": 2', '"!": 2, "!": 3'))).code).toBe("duplicate-key");
    expect(refusal(() => parseTokenizer("[]")).code).toBe("wrong-type");
    expect(refusal(() => parseTokenizer("{}")).code).toBe("unsupported");
  });

  it("is found in a folder, and missing is a typed error", async () => {
    await saveTokenizer(join(folder, "tokenizer.json"), await trainBpe(["hello hello"], { vocabSize: 258 }));
    expect((await loadTokenizer(folder)).vocabSize).toBe(258);
    await expect(loadTokenizer(join(folder, "none.json"))).rejects.toMatchObject({ code: "unreadable" });
  });

  it("normalizes where the file says so, and then refuses offsets of another text", () => {
    const nfc = parseTokenizer(changed(set("normalizer", { type: "NFC" })));
    expect(nfc.decode(nfc.encode("e\u0301"))).toBe("é");
    expect(() => nfc.encodeWithOffsets("e\u0301")).toThrow(/NFC/);
    expect(Array.from(nfc.encodeWithOffsets("é").end)).toEqual([1, 1]);
  });

  it("knows the expression of GPT-4 in tiktoken's spelling, isolated or by what is removed", () => {
    const file = JSON.parse(fixture("gpt4.json")) as Json;
    const split = file["pre_tokenizer"]!["pretokenizers"]!["0"]!;
    split["pattern"]!["Regex"] =
      String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+` as unknown as Json;
    split["behavior"] = "Removed" as unknown as Json;
    split["invert"] = true as unknown as Json;
    const tokenizer = parseTokenizer(JSON.stringify(file));
    expect(tokenizer.encode("it's 1234")).toEqual(parseTokenizer(fixture("gpt4.json")).encode("it's 1234"));
    expect(tokenizer.toJSON()).toEqual(file);
  });
});

describe("tokens that are hard to write", () => {
  it("__proto__ and numbers as tokens keep their ids and their order", async () => {
    const text = "__proto__ constructor 12 12 7 7 __proto__ constructor".repeat(3);
    const tokenizer = await trainBpe([text], { vocabSize: 300, specialTokens: ["__proto__", "10"] });
    const path = join(folder, "proto.json");
    await saveTokenizer(path, tokenizer);
    const back = await loadTokenizer(path);
    expect(back.tokenId("__proto__")).toBe(0);
    expect(Array.from(back.encode("__proto__", { allowedSpecial: "all" }))).toEqual([0]);
    expect(back.encode(text)).toEqual(tokenizer.encode(text));
    expect(JSON.stringify(back.toJSON())).toBe(JSON.stringify(tokenizer.toJSON()));
  });

  it("characters come back with their special tokens", async () => {
    const tokenizer = await trainChar(['a\u2028"\\\0b'], { specialTokens: ["<|end|>"], unkToken: "?!" });
    const path = join(folder, "chars.json");
    await saveTokenizer(path, tokenizer);
    const back = await loadTokenizer(path);
    expect(back.toJSON()).toEqual(tokenizer.toJSON());
    expect(Array.from(back.encode("b\u2028x"))).toEqual(Array.from(tokenizer.encode("b\u2028x")));
  });
});

describe("ranks and merges", () => {
  const bytes = Array.from({ length: 256 }, (_, i) => `${Buffer.of(i).toString("base64")} ${i}\n`).join("");

  it.each<[string, string, string]>([
    ["a line without a rank", `${bytes}YWI=\n`, "syntax"],
    ["what is no base64", `${bytes}*** 256\n`, "syntax"],
    ["base64 that is cut", `${bytes}YWI 256\n`, "syntax"],
    ["a rank twice", `${bytes}YWI= 255\n`, "duplicate-id"],
    ["a token twice", `${bytes}YQ== 256\n`, "duplicate-token"],
    ["a huge rank", `${bytes}YWI= 9999999\n`, "syntax"],
    ["a missing byte", bytes.slice(bytes.indexOf("\n") + 1), "missing-bytes"],
  ])("refuses %s", (_, text, code) => {
    expect(refusal(() => tiktoken(text, { pattern: "gpt2" })).code).toBe(code);
  });

  it("refuses special tokens on ids of others", () => {
    const special = { "<|a|>": 5 };
    expect(refusal(() => tiktoken(bytes, { pattern: "gpt2", specialTokens: special })).code).toBe("duplicate-id");
  });

  it("names the line of a bad merge", async () => {
    const path = join(folder, "merges.txt");
    await writeFile(path, "#version: 0.2\nĠ t x\n");
    await expect(loadMerges(fixturePath("vocab.json"), path)).rejects.toMatchObject({
      code: "syntax",
      where: `${path}:2`,
    });
    await writeFile(path, "Ġ nothing-like-this\n");
    await expect(loadMerges(fixturePath("vocab.json"), path)).rejects.toMatchObject({ code: "unknown-token" });
  });
});
