// Every program in README, docs and docstrings runs, and gives the values it states.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { filesOf, read } from "../architecture/imports.ts";
import { examplesOfMarkdown, examplesOfSource, type Example } from "./extract.ts";
import { runExample } from "./run.ts";

// Examples that write files do it in a folder of their own.
const before = process.cwd();
const folder = mkdtempSync(join(tmpdir(), "chainrule-examples-"));
beforeAll(() => {
  process.chdir(folder);
  // Progress bars and printed tables of a hundred examples would bury what a failing one says.
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
  vi.spyOn(console, "log").mockReturnValue(undefined);
});
afterAll(() => {
  vi.restoreAllMocks();
  process.chdir(before);
  rmSync(folder, { recursive: true });
});

const markdown = ["README.md", "CONTRIBUTING.md", ...filesOf("docs").map((path) => `docs/${path}`)];
const sources = filesOf("src").filter((path) => path.endsWith(".ts") && !/\.(test|test-d)\.ts$/.test(path));

function declare(examples: readonly Example[]): void {
  for (const example of examples) {
    if (example.skip) it.skip(`${example.place} (needs a network, or files that are not here)`);
    else it(example.place, () => runExample(example));
  }
}

describe("documents", () => {
  const examples = markdown
    .filter((path) => path.endsWith(".md"))
    .flatMap((path) => examplesOfMarkdown(path, read(path)));
  declare(examples);
  it("are found", () => {
    expect(examples.filter(({ path }) => path === "README.md").length).toBeGreaterThan(0);
    expect(examples.filter(({ path }) => path.startsWith("docs/")).length).toBeGreaterThan(0);
  });
});

describe("docstrings", () => {
  const examples = sources.flatMap((path) => examplesOfSource(`src/${path}`, read(`src/${path}`)));
  declare(examples);
  it("are found", () => expect(examples.length).toBeGreaterThan(10));
});
