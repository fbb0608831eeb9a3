// The shape of the repository: layers, cycles, sizes, intents, exports, and nothing of the machine it was written on.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { layers } from "../../layers.ts";
import { cyclesOf, faultsOf, filesOf, importsOf, layerOf, read, root } from "./imports.ts";

const isTest = (path: string): boolean => /\.(test|test-d)\.ts$/.test(path);
const sources = filesOf("src").filter((path) => path.endsWith(".ts") && !isTest(path));
const graph = new Map(sources.map((path) => [path, importsOf(path, read(`src/${path}`))]));

const LONGEST = 400;

describe("layers.ts", () => {
  it("names each layer once and lets it import only rows above it", () => {
    const seen: string[] = [];
    for (const { name, imports, types = [] } of layers) {
      expect(seen, `layer "${name}"`).not.toContain(name);
      for (const other of [...imports, ...types]) expect(seen, `layer "${name}" imports "${other}"`).toContain(other);
      seen.push(name);
    }
  });

  it("has a room for every source file but the package root", () => {
    expect(sources.filter((path) => path !== "index.ts" && layerOf(layers, path) === undefined)).toEqual([]);
  });
});

describe("imports", () => {
  it("stay inside the table", () => {
    expect(sources.flatMap((path) => faultsOf(layers, path, graph.get(path)!))).toEqual([]);
  });

  it("form no cycle", () => {
    expect(cyclesOf(graph).map((cycle) => cycle.join(" → "))).toEqual([]);
  });

  it("of the package root reach no testing code", () => {
    const reached = new Set<string>();
    const visit = (path: string): void => {
      if (reached.has(path) || !graph.has(path)) return;
      reached.add(path);
      for (const { target, typeOnly } of graph.get(path)!) if (!typeOnly) visit(target);
    };
    visit("index.ts");
    expect([...reached].filter((path) => path.startsWith("testing/") || path.startsWith("cli/"))).toEqual([]);
  });
});

describe("files", () => {
  const code = ["src", "native", "scripts", "test", "bench", "examples"]
    .flatMap((folder) => filesOf(folder).map((path) => `${folder}/${path}`))
    .filter((path) => /\.(ts|mjs|cc|cpp|c|h|hpp|inc)$/.test(path));

  it(`have at most ${LONGEST} lines`, () => {
    const long = code.map((path) => ({ path, lines: read(path).trimEnd().split("\n").length }));
    expect(long.filter(({ lines }) => lines > LONGEST).map(({ path, lines }) => `${path}: ${lines} lines`)).toEqual([]);
  });

  it("begin with a comment that says their intent", () => {
    const first = (path: string): string => {
      const [one, two] = read(path).split("\n");
      return one!.startsWith("#!") ? (two ?? "") : one!;
    };
    expect(code.filter((path) => !/^\/[/*] ?\S.*\S/.test(first(path)))).toEqual([]);
  });

  it("of the documents link to files that exist", () => {
    const documents = [
      "README.md",
      "CONTRIBUTING.md",
      "ARCHITECTURE.md",
      ...filesOf("docs").map((path) => `docs/${path}`),
    ];
    const broken = documents.flatMap((path) =>
      [...read(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
        .map(([, target]) => target!)
        .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(root, dirname(path), target)))
        .map((target) => `${path}: ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it("name no machine path and no registry", () => {
    const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root });
    // Not a checkout (an unpacked archive): then the folders above are what there is to read.
    const paths = listed.status === 0 ? listed.stdout.toString().split("\0") : code;
    const machine = /\/[w]ork\/|\/[h]ome\/\w|\/[U]sers\/\w|\/[r]oot\/|[r]egistry\.\w+\.(org|com)/;
    const text = paths.filter(
      (path) =>
        /\.(ts|mjs|js|json|md|yml|yaml|cc|cpp|c|h|hpp|inc|py|sh)$|^\.ci\//.test(path) && existsSync(join(root, path)),
    );
    expect(text.length).toBeGreaterThan(50);
    // The lock of npm records where each package came from; that is its job.
    const found = text.filter((path) => path !== "package-lock.json" && machine.test(read(path)));
    expect(found).toEqual([]);
  });
});

describe("package.json", () => {
  const parsed = JSON.parse(read("package.json")) as {
    exports: Record<string, { types: string; default: string } | string>;
    dependencies: Record<string, string>;
    scripts: Record<string, string>;
  };

  it("and ARCHITECTURE.md are what layers.ts and the files say", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/architecture.mjs", "--check"], {
      cwd: root,
      encoding: "utf8",
    });
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
  });

  it("exports rooms whose sources exist", () => {
    for (const entry of Object.values(parsed.exports)) {
      if (typeof entry === "string") continue;
      expect(sources).toContain(entry.default.replace(/^\.\/dist\//, "").replace(/\.js$/, ".ts"));
    }
  });

  it("has at most 16 dependencies and no install script", () => {
    expect(Object.keys(parsed.dependencies).length).toBeLessThanOrEqual(16);
    const install = ["preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"];
    expect(Object.keys(parsed.scripts).filter((name) => install.includes(name))).toEqual([]);
    // Without scripts npm would still compile a binding.gyp by itself.
    expect(existsSync(join(root, "binding.gyp"))).toBe(false);
  });

  it("packs dist, data, README and LICENSE, and no test", () => {
    const npm = process.env["npm_execpath"];
    const args = ["pack", "--dry-run", "--json", "--ignore-scripts"];
    const output =
      npm === undefined
        ? execFileSync("npm", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
        : execFileSync(process.execPath, [npm, ...args], {
            cwd: root,
            encoding: "utf8",
            stdio: ["ignore", "pipe", "ignore"],
          });
    const [pack] = JSON.parse(output) as [{ files: { path: string; mode: number }[] }];
    const paths = pack.files.map(({ path }) => path);
    const top = new Set(paths.map((path) => path.split("/")[0]!));
    expect([...top].sort()).toEqual(["LICENSE", "README.md", "data", "dist", "package.json"]);
    expect(paths.filter((path) => /\.test(-d)?\.|(^|\/)(test|tests)\//.test(path))).toEqual([]);
    const bin = pack.files.find(({ path }) => path === "dist/cli/main.js");
    expect((bin?.mode ?? 0) & 0o111).not.toBe(0);
    for (const entry of Object.values(parsed.exports)) {
      for (const path of typeof entry === "string" ? [entry] : [entry.types, entry.default]) {
        expect(paths).toContain(path.replace(/^\.\//, ""));
      }
    }
  });
});
