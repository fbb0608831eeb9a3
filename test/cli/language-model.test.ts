// generate, evaluate and serve as commands, on a tiny model: texts on stdout, JSON, Ctrl-C.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildPackage, main } from "../built-package.ts";
import { tinyFolder } from "../serve/tiny-folder.ts";

const { FORCE_COLOR: _, NO_COLOR: __, ...env } = process.env;
let folder: string;
let remove: () => Promise<void>;
beforeAll(async () => {
  await buildPackage();
  ({ folder, remove } = await tinyFolder());
}, 120_000);
afterAll(() => remove());

function run(args: string[], input: string = ""): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env, input });
  return { code: status, out: stdout, err: stderr };
}

interface Generated {
  readonly promptTokens: number;
  readonly samples: readonly {
    readonly seed: number;
    readonly text: string;
    readonly tokens: number;
    readonly finish: string;
  }[];
}

describe("chainrule generate", () => {
  it("prints a text, from an option or from standard input, the same as JSON", () => {
    const options = ["generate", folder, "--max-tokens", "20", "--temperature", "0"];
    const { code, out } = run([...options, "--prompt", "Hello"]);
    expect(code).toBe(0);
    const told = JSON.parse(run([...options, "--json"], "Hello").out) as Generated;
    expect(told).toMatchObject({ promptTokens: 5, samples: [{ seed: 0, tokens: 20, finish: "length" }] });
    expect(out).toBe(`${told.samples[0]!.text}\n`);
    expect(run([...options, "--prompt", "Hello", "--echo"]).out).toBe(`Hello${out}`);
  });

  it("prints several texts in their order, each that of its seed", () => {
    const options = ["generate", folder, "--prompt", "Hi", "--max-tokens", "9", "--top-k", "20", "--json"];
    const all = JSON.parse(run([...options, "--samples", "3", "--seed", "5"]).out) as Generated;
    expect(all.samples.map(({ seed }) => seed)).toEqual([5, 6, 7]);
    const one = JSON.parse(run([...options, "--seed", "6"]).out) as Generated;
    expect(one.samples[0]).toEqual(all.samples[1]);
    const slid = JSON.parse(
      run(["generate", folder, "--prompt", "Hi", "-n", "150", "--slide", "--json"]).out,
    ) as Generated;
    expect(slid.samples[0]!.tokens).toBe(150);
    const text = run(["generate", folder, "--prompt", "Hi", "--max-tokens", "9", "--samples", "2"]).out;
    expect(text).toMatch(/^── 1 ──\n[^]*\n── 2 ──\n[^]*\n$/);
  });

  it("fails with what is wrong", () => {
    expect(run(["generate", folder, "--prompt", "Hi", "-n", "500"])).toMatchObject({ code: 1, out: "" });
    expect(run(["generate", folder], "")).toMatchObject({
      code: 1,
      err: expect.stringContaining("is empty") as string,
    });
    expect(run(["generate", join(folder, "nothing")]).err).toContain("is no model folder");
    expect(run(["generate", folder, "--top-k", "many"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("'many' is invalid. expected a whole number") as string,
    });
  });
});

describe("chainrule evaluate", () => {
  it("prints what a text and tasks scored", async () => {
    const [text, tasks] = [join(folder, "a.txt"), join(folder, "b.jsonl")];
    await writeFile(text, "It was the best of times.\n");
    await writeFile(tasks, `${JSON.stringify({ context: "It", choices: [" was", " is"], answer: 0 })}\n`);
    const told = JSON.parse(run(["evaluate", folder, "--text", text, "--tasks", tasks, "--json"]).out) as {
      texts: { file: string; tokens: number; unscored: number; bitsPerByte: number }[];
      tasks: { rows: number; accuracy: { value: number } }[];
    };
    expect(told.texts).toMatchObject([{ file: text, tokens: 25, unscored: 1 }]);
    expect(told.texts[0]!.bitsPerByte).toBeGreaterThan(1);
    expect(told.tasks).toMatchObject([{ file: tasks, kind: "choice", rows: 1 }]);
    const { code, out } = run(["evaluate", folder, "--text", text, "--tasks", tasks]);
    expect(code).toBe(0);
    expect(out).toContain(told.texts[0]!.bitsPerByte.toFixed(4));
    expect(out).toContain("accuracy per byte");
    expect(run(["evaluate", folder])).toMatchObject({
      code: 1,
      err: expect.stringContaining("nothing to do") as string,
    });
  });
});

describe("chainrule serve", () => {
  it("answers until Ctrl-C, and ends the texts under way first", async () => {
    const child = spawn(process.execPath, [main, "serve", folder, "--port", "0"], { env });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const [url] = String(line).split(" ");
    const stream = await fetch(`${url}/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "tiny", prompt: "a", max_tokens: 60, stream: true }),
    });
    expect(stream.status).toBe(200);
    child.kill("SIGINT");
    const text = await stream.text();
    expect(text).toContain('"finish_reason":"length"');
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    const [code] = (await once(child, "close")) as [number];
    expect(code).toBe(0);
    await expect(fetch(`${url}/models`)).rejects.toThrow();
  });
});
