// The built command, run as a user runs it: exit codes, streams, JSON, colours.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

// Test runners ask for colours where they think their output has them (CI); what is tested here starts without.
const { FORCE_COLOR: _, NO_COLOR: __, ...plain } = process.env;

function chainrule(
  args: string[],
  env: Record<string, string> = {},
): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: "utf8",
    env: { ...plain, ...env },
  });
  return { code: status, out: stdout, err: stderr };
}

describe("chainrule", () => {
  it("prints its help without arguments", () => {
    const { code, out, err } = chainrule([]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^Usage: chainrule/);
    expect(out).toContain("doctor");
  });

  it("prints the version of the package", () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    expect(chainrule(["--version"])).toEqual({ code: 0, out: `${version}\n`, err: "" });
  });

  it.each([[["no-such-command"]], [["doctor", "--no-such-option"]], [["doctor", "surplus"]]])(
    "refuses %j with code 2 and nothing on stdout",
    (args) => {
      const { code, out, err } = chainrule(args);
      expect({ code, out }).toEqual({ code: 2, out: "" });
      expect(err).toMatch(/^error: /);
      expect(err).toContain("--help");
    },
  );

  it("prints a typed error as text and hint, without a stack", () => {
    const { code, out, err } = chainrule(["doctor"], { CHAINRULE_DEVICE: "abacus" });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("abacus");
    expect(err).not.toMatch(/^\s+at /m);
    expect(chainrule(["doctor", "--debug"], { CHAINRULE_DEVICE: "abacus" }).err).toMatch(/^\s+at /m);
    const { error } = JSON.parse(chainrule(["doctor", "--json"], { CHAINRULE_DEVICE: "abacus" }).out) as {
      error: { type: string; problem: string };
    };
    expect(error.type).toBe("ArgumentError");
    expect(error.problem).toContain("abacus");
  });
});

describe("chainrule doctor", () => {
  interface Report {
    node: string;
    device: { name: string; reason: string };
    devices: { name: string; available: boolean; text: string; coverage?: { kernels: number; missing: string[] } }[];
  }

  it("names the device that runs, every other one, and no missing op", () => {
    const { code, out, err } = chainrule(["doctor", "--json"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const report = JSON.parse(out) as Report;
    expect(report.node).toBe(process.versions.node);
    expect(report.devices.map(({ name }) => name)).toEqual(["native", "wasm", "reference"]);
    for (const { name, available, text, coverage } of report.devices) {
      expect(text, name).not.toBe("");
      // Native wants a C++ compiler where the package was built; the two others run everywhere.
      if (name !== "native") expect(available, name).toBe(true);
      if (available) expect(coverage!.missing, name).toEqual([]);
      if (available) expect(coverage!.kernels, name).toBeGreaterThan(50);
    }
    const native = report.devices.find(({ name }) => name === "native")!;
    expect(report.device.name).toBe(native.available ? "native" : "wasm");
  });

  it("says why a device was chosen", () => {
    const { out } = chainrule(["doctor", "--json"], { CHAINRULE_DEVICE: "wasm" });
    expect((JSON.parse(out) as Report).device).toEqual({ name: "wasm", reason: "set by CHAINRULE_DEVICE" });
  });

  it("colours only when asked or on a terminal", () => {
    const escape = "\u001b[";
    expect(chainrule(["doctor"]).out).not.toContain(escape);
    expect(chainrule(["doctor"], { FORCE_COLOR: "1" }).out).toContain(escape);
    expect(chainrule(["doctor"], { FORCE_COLOR: "1", NO_COLOR: "1" }).out).not.toContain(escape);
  });
});

describe("chainrule data", () => {
  it("lists the data sets it can fetch", () => {
    const { code, out } = chainrule(["data", "list", "--json"]);
    expect(code).toBe(0);
    const names = (JSON.parse(out) as { name: string }[]).map(({ name }) => name);
    expect(names).toEqual(["mnist", "fashion-mnist", "cifar-10"]);
    expect(chainrule(["data", "list"]).out.trimEnd().split("\n")).toHaveLength(names.length);
  });

  it("refuses a name it does not know, and says which there are", () => {
    const { code, out, err } = chainrule(["data", "fetch", "no-such-set"]);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain("no-such-set");
    expect(err).toContain("fashion-mnist");
  });
});
