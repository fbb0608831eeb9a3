// The reader of imports itself: a check that finds nothing because it reads nothing would be worth nothing.
import { describe, expect, it } from "vitest";
import type { Layer } from "../../layers.ts";
import { cyclesOf, faultsOf, importsOf } from "./imports.ts";

const row = (name: string, imports: string[]): Layer => ({ name, folder: name, imports, meaning: "", about: "" });
const layers: Layer[] = [row("core", []), row("ops", ["core"]), { ...row("compile", ["core"]), types: ["ops"] }];
const faults = (file: string, text: string): string[] => faultsOf(layers, file, importsOf(file, text));

describe("importsOf", () => {
  it("reads every form of import, and not what stands in comments", () => {
    const text = `
      import { a } from "./a.ts";
      import type { B } from "./b.ts";
      import { type C, type D } from "./c.ts";
      import { type E, e } from "../e/index.ts";
      import * as f from "./f.ts";
      import "./g.ts";
      export * from "./h.ts";
      export type { I } from "./i.ts";
      import {
        j,
        k as l,
      } from "./j.ts";
      const m = await import("./m.ts");
      import { join } from "node:path";
      // import { x } from "./x.ts";
      /* import { y } from "./y.ts"; */`;
    expect(importsOf("ops/file.ts", text).map(({ target, typeOnly }) => target + (typeOnly ? " type" : ""))).toEqual([
      "ops/a.ts",
      "ops/b.ts type",
      "ops/c.ts type",
      "e/index.ts",
      "ops/f.ts",
      "ops/h.ts",
      "ops/i.ts type",
      "ops/j.ts",
      "ops/g.ts",
      "ops/m.ts",
    ]);
  });
});

describe("faultsOf", () => {
  it("names an import outside the table", () => {
    expect(faults("core/type.ts", `import { x } from "../ops/index.ts";`)).toEqual([
      'core/type.ts: layer "core" may not import "ops" (ops/index.ts). It may import: nothing.',
    ]);
    expect(faults("ops/sin.ts", `import { x } from "../core/index.ts";`)).toEqual([]);
  });

  it("lets types through where the table says so", () => {
    expect(faults("compile/lower.ts", `import type { X } from "../ops/index.ts";`)).toEqual([]);
    expect(faults("compile/lower.ts", `import { x } from "../ops/index.ts";`)).toHaveLength(1);
  });

  it("wants imports of other rooms to go through their index.ts", () => {
    expect(faults("ops/sin.ts", `import { x } from "../core/dtype.ts";`)).toEqual([
      "ops/sin.ts: imports core/dtype.ts past the door of its room; import core/index.ts",
    ]);
  });
});

describe("cyclesOf", () => {
  it("finds a cycle of values and none of types", () => {
    const graph = (typeOnly: boolean): Map<string, { target: string; typeOnly: boolean }[]> =>
      new Map([
        ["a.ts", [{ target: "b.ts", typeOnly: false }]],
        ["b.ts", [{ target: "c.ts", typeOnly: false }]],
        ["c.ts", [{ target: "a.ts", typeOnly }]],
      ]);
    expect(cyclesOf(graph(false))).toEqual([["a.ts", "b.ts", "c.ts", "a.ts"]]);
    expect(cyclesOf(graph(true))).toEqual([]);
  });
});
