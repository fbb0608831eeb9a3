// `chainrule tokenizer` as a user runs it: train, encode, decode, inspect.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { loadTokenizer } from "../../src/data/text/index.ts";
import { fixturePath } from "./texts.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "chainrule-command-"));
afterAll(() => rmSync(folder, { recursive: true }));
const { FORCE_COLOR: _, NO_COLOR: __, ...plain } = process.env;

function run(
  args: string[],
  input: string = "",
  env: Record<string, string> = {},
): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, "tokenizer", ...args], {
    encoding: "utf8",
    input,
    env: { ...plain, ...env },
  });
  return { code: status, out: stdout, err: stderr };
}

describe("chainrule tokenizer", () => {
  const corpus = fixturePath("corpus.txt");

  it("trains, encodes and decodes", async () => {
    const special = ["--special", "<|endoftext|>", "<|x|>"];
    const trained = run(["train", corpus, "--vocab-size", "620", ...special, "--out", folder, "--json"]);
    expect(trained.code).toBe(0);
    expect(JSON.parse(trained.out)).toMatchObject({ kind: "bpe", vocabSize: 620, special: { "<|endoftext|>": 0 } });
    // The one the fixtures hold against Hugging Face's.
    const ours = await loadTokenizer(folder);
    expect(ours.toJSON()).toEqual((await loadTokenizer(fixturePath("gpt2.json"))).toJSON());

    const text = "a 日本<|x|>\n";
    const ids = run(["encode", "-t", folder], text).out;
    expect(ids.trim().split(" ").map(Number)).toEqual(Array.from(ours.encode(text)));
    expect(run(["decode", "-t", folder], ids).out).toBe(`${text}\n`);
    const allowed = JSON.parse(run(["encode", "-t", folder, "--allow-special", "--json", "a<|x|>"]).out) as {
      ids: number[];
    };
    expect(allowed.ids.at(-1)).toBe(1);
    expect(run(["decode", "-t", folder, "--skip-special", ...allowed.ids.map(String)]).out).toBe("a\n");
    const places = JSON.parse(run(["encode", "-t", folder, "--offsets", "--json", "日"]).out) as { end: number[] };
    expect(new Set(places.end)).toEqual(new Set([1]));
  });

  it("shows tokens with their borders, in colours where there are some", () => {
    const { out } = run(["inspect", "-t", fixturePath("gpt2.json"), "x\n😀"]);
    expect(out).toContain("x│⏎\n│‹F0›‹9F›│");
    expect(out).toMatch(/\d+ tokens, 6 bytes/);
    const colored = run(["inspect", "-t", fixturePath("gpt2.json"), "x"], "", { FORCE_COLOR: "1" }).out;
    expect(colored).toContain("\u001b[44m");
    const about = JSON.parse(run(["inspect", "-t", fixturePath("gpt2.json"), "--json"]).out) as object;
    expect(about).toMatchObject({ vocabSize: 620, merges: 362, kind: "byte-level BPE, pattern gpt2" });
  });

  it("trains characters, and says where an unknown one is", () => {
    const out = join(folder, "chars");
    expect(run(["train", corpus, "--kind", "char", "--out", out]).code).toBe(0);
    const { code, err } = run(["encode", "-t", out, "a龘"]);
    expect(code).toBe(1);
    expect(err).toContain('"龘" (U+9F98), at 1');
  });

  it.each([
    [["train", corpus, "--out", folder], "--vocab-size is needed"],
    [["train", corpus, "--out", folder, "--vocab-size", "10"], "from 256"],
    [["train", join(folder, "none.txt"), "--out", folder, "--vocab-size", "300"], "none.txt"],
    [["train", corpus, "--out", folder, "--kind", "char", "--vocab-size", "300"], "--kind bpe"],
    [["encode", "-t", join(folder, "none.json"), "a"], "none.json"],
    [["decode", "-t", fixturePath("gpt2.json"), "1", "two"], '"two"'],
    [["decode", "-t", fixturePath("gpt2.json"), "620"], "no token 620"],
  ])("refuses %j", (args, text) => {
    const { code, out, err } = run(args);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(text);
  });

  it("refuses a number that is none as a wrong command line", () => {
    const { code, err } = run(["train", corpus, "--out", folder, "--vocab-size", "1e3"]);
    expect(code).toBe(2);
    expect(err).toContain("whole number");
  });
});
