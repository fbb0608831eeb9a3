// Types of the public surface: the files *.types.ts and the programs of the documents compile, and a wrong one does not.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { filesOf, read, root } from "../architecture/imports.ts";
import { examplesOfMarkdown } from "../examples/extract.ts";

const folder = join(root, ".cache", "types");

/** Compiles files (paths from the root) with the options of the repository; returns what the compiler says. */
function compile(name: string, files: readonly string[]): string {
  const config = {
    extends: "../../tsconfig.json",
    compilerOptions: { rootDir: "../..", isolatedDeclarations: false, declaration: false, noUnusedLocals: false },
    include: [],
    files: files.map((path) => join(root, path)),
  };
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(config));
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { stdout, stderr } = spawnSync(process.execPath, [tsc, "-p", join(folder, `${name}.json`)], {
    cwd: root,
    encoding: "utf8",
  });
  return stdout + stderr;
}

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

it("the types of the public surface are as stated", () => {
  const files = filesOf("test/types").filter((path) => path.endsWith(".types.ts"));
  expect(files.length).toBeGreaterThan(0);
  expect(
    compile(
      "surface",
      files.map((path) => `test/types/${path}`),
    ),
  ).toBe("");
});

it("the programs of README and docs compile", () => {
  const documents = ["README.md", "CONTRIBUTING.md", ...filesOf("docs").map((path) => `docs/${path}`)];
  const examples = documents
    .filter((path) => path.endsWith(".md"))
    .flatMap((path) => examplesOfMarkdown(path, read(path)));
  const files = examples.map(({ place, code }) => {
    const path = `.cache/types/${place.replace(/\W/g, "-")}.ts`;
    // A result stated in a comment makes a statement of an expression; `export {}` makes a module of a script.
    writeFileSync(join(root, path), `// ${place}\n${code}\nexport {};\n`);
    return path;
  });
  expect(files.length).toBeGreaterThan(0);
  expect(compile("documents", files)).toBe("");
});

it("a wrong type is found", () => {
  writeFileSync(
    join(folder, "wrong.ts"),
    `import { expectTypeOf } from "vitest";
import { tensor } from "chainrule";
expectTypeOf(tensor(1)).toEqualTypeOf<number>();
// @ts-expect-error: nothing is wrong here
tensor(2);
`,
  );
  const said = compile("wrong", [".cache/types/wrong.ts"]);
  expect(said).toMatch(/wrong\.ts\(3,\d+\): error TS/);
  expect(said).toMatch(/wrong\.ts\(4,\d+\): error TS2578/);
});
