// The finder and runner of examples: a wrong example must fail, or a right one proves nothing.
import { describe, expect, it } from "vitest";
import { examplesOfMarkdown, examplesOfSource } from "./extract.ts";
import { runExample } from "./run.ts";

const run = (code: string): Promise<void> => runExample({ place: "here:1", path: "here.md", code, skip: false });

describe("examplesOfMarkdown", () => {
  it("reads blocks with their line, marks and setup", () => {
    const text = [
      "# Title",
      "<!-- example: setup",
      "const x = 1;",
      "-->",
      "```ts",
      "x + 1; // 2",
      "```",
      "```sh",
      "npm start",
      "```",
      "```ts continued",
      "x + 2; // 3",
      "```",
      "```ts no-run",
      "await fetch(url);",
      "```",
    ].join("\n");
    expect(examplesOfMarkdown("a.md", text)).toEqual([
      { place: "a.md:6", path: "a.md", code: "const x = 1;\n\nx + 1; // 2\n", skip: false },
      { place: "a.md:12", path: "a.md", code: "const x = 1;\n\nx + 1; // 2\n\nx + 2; // 3\n", skip: false },
      { place: "a.md:15", path: "a.md", code: "\nawait fetch(url);\n", skip: true },
    ]);
  });
});

describe("examplesOfSource", () => {
  it("reads one-line, long, fenced and several examples", () => {
    const text = `
/** One. @param x no tag inside a line */
/** @example one(1); // 2 */
/**
 * Two.
 *
 * @example
 * const y = two(1);
 * y; // 3
 * @example no-run
 * \`\`\`ts
 * three();
 * \`\`\`
 * @see elsewhere
 */`;
    expect(examplesOfSource("a.ts", text).map(({ place, code, skip }) => ({ place, code: code.trim(), skip }))).toEqual(
      [
        { place: "a.ts:3", code: "one(1); // 2", skip: false },
        { place: "a.ts:7", code: "const y = two(1);\ny; // 3", skip: false },
        { place: "a.ts:10", code: "three();", skip: true },
      ],
    );
  });
});

describe("runExample", () => {
  it("passes where the stated values hold", async () => {
    await run(
      `const x: number[] = [1, 2]; // [1, 2]\nx.map((v) => v / 3); // [0.333333, 0.666667]\n"a // b"; // "a // b"`,
    );
    await run(`import { join as path } from "node:path";\npath("a", "b"); // "a/b"\nawait Promise.resolve(4); // => 4`);
    await run(`[\n  1,\n  2,\n].length; // 2`);
  });

  it.each(["1 + 1; // 3", "[1, 2]; // [1]", "const x = 2; // 1", "({ a: 1 }); // { a: 2 }", "[\n  1,\n].length; // 2"])(
    "fails for %j",
    async (code) => expect(run(code)).rejects.toThrow("the example states"),
  );

  it("fails where the program fails", async () => {
    await expect(run(`throw new Error("no");`)).rejects.toThrow("no");
    await expect(run(`missing(1); // 2`)).rejects.toThrow("missing is not defined");
    await expect(run(`const = 1;`)).rejects.toThrow();
  });

  it("leaves prose alone", async () => {
    await run(`const x = 1; // the first\nconst y = 2; // [N, H, W, C]\nx + y; // 3 of them`);
  });
});
