// The package as it is published, under every Node it promises to run on.
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { read, root } from "../architecture/imports.ts";
import { execute, installNode, installPackage } from "./install.ts";

const consumer = join(root, ".cache", "consumer");
const built = existsSync(join(root, "dist", "native", "chainrule.node"));
const devices = ["wasm", "native"] as const;
const majors = [20, 22, 24, 26];
// The binaries come from npm packages made for this platform.
const binaries = process.platform === "linux" && process.arch === "x64";

interface Smoke {
  readonly node: string;
  readonly device: string;
  readonly losses: readonly number[];
  readonly predictions: { readonly saved: string; readonly loaded: string };
  readonly gradient: readonly number[];
  readonly ops: number;
}

async function smoke(node: string, device: string): Promise<Smoke> {
  const { code, out, err } = await execute(node, ["smoke.mjs", device], { cwd: consumer });
  expect(`${err}\nexit code ${code}`).toBe("\nexit code 0");
  return JSON.parse(out) as Smoke;
}

beforeAll(() => installPackage(consumer), 120_000);

describe("the installed package", () => {
  it("types check in a project of its own", async () => {
    copyFileSync(join(root, "test/runtimes/consumer.ts"), join(consumer, "consumer.ts"));
    const compilerOptions = {
      target: "es2023",
      module: "nodenext",
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(root, "node_modules", "@types")],
    };
    writeFileSync(join(consumer, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const { out, err } = await execute(process.execPath, [tsc, "-p", "."], { cwd: consumer });
    expect(out + err).toBe("");
  });

  it("has a command", async () => {
    const { code, out, err } = await execute(join(consumer, "node_modules", ".bin", "chainrule"), ["doctor"], {
      cwd: consumer,
    });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toContain("wasm");
  });

  it("can be imported by every subpath it names", async () => {
    const { exports } = JSON.parse(read("package.json")) as { exports: Record<string, unknown> };
    const paths = Object.keys(exports).filter((path) => path !== "./package.json");
    const program = paths.map((path) => `await import(${JSON.stringify(`chainrule${path.slice(1)}`)});`).join("\n");
    const { code, err } = await execute(process.execPath, ["--input-type=module", "-e", program], { cwd: consumer });
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(paths.length).toBeGreaterThan(10);
  });

  it("is loaded by require too", async () => {
    const { code, out } = await execute(process.execPath, ["-p", `require("chainrule/ops").sin.op.name`], {
      cwd: consumer,
    });
    expect({ code, out }).toEqual({ code: 0, out: "sin\n" });
  });
});

describe.each(devices)("on %s", (device) => {
  const reason = !binaries
    ? ` (skipped: the binaries are for linux-x64, this is ${process.platform}-${process.arch})`
    : device === "native" && !built
      ? " (skipped: no C++ compiler built the native backend)"
      : "";
  const results: Smoke[] = [];

  it.skipIf(reason !== "").each(majors)(
    `trains, saves and loads under Node %i${reason}`,
    async (major) => {
      const result = await smoke(await installNode(major), device);
      expect(result.node).toMatch(new RegExp(`^${major}\\.`));
      expect(result.device).toBe(device);
      expect(result.losses).toHaveLength(5);
      expect(result.losses[4]!).toBeLessThan(result.losses[0]!);
      expect(result.predictions.loaded).toBe(result.predictions.saved);
      expect(result.gradient).toEqual([14, 2, 4, 6]);
      expect(result.ops).toBeGreaterThan(50);
      results.push(result);
    },
    120_000,
  );

  it.skipIf(reason !== "")(`gives the same bits under all of them${reason}`, () => {
    expect(results.map(({ node }) => Number(node.split(".")[0]))).toEqual(majors);
    expect(new Set(results.map(({ losses, predictions }) => JSON.stringify([losses, predictions]))).size).toBe(1);
  });
});
