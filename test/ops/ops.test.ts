// Every op on every sample and every backend: shape, gradients by central differences, equality with the reference, refused inputs.
import { afterAll, describe, expect, test } from "vitest";
import { BackendError } from "../../src/engine/core/index.ts";
import { allOps } from "../../src/engine/ops/index.ts";
import { device, type DeviceName } from "../../src/engine/runtime/index.ts";
import { checkRefusal, checkSample, checkSampleOn } from "../../src/testing/index.ts";

// Programs are verified after each pass of the compiler, and memory that was never written reads as NaN.
process.env["CHAINRULE_VERIFY"] = "1";
process.env["CHAINRULE_POISON"] = "1";

const devices: readonly DeviceName[] = ["reference", "native", "wasm"];
const missing = new Map(devices.flatMap((name) => (reasonAgainst(name) === "" ? [] : [[name, reasonAgainst(name)]])));
const failed = new Map(devices.map((name) => [name, new Set<string>()]));

// The native addon exists only where it could be built; wasm and the reference run everywhere.
function reasonAgainst(name: DeviceName): string {
  try {
    device(name);
    return "";
  } catch (error) {
    if (name === "native" && error instanceof BackendError) return error.problem;
    throw error;
  }
}

function checked(name: DeviceName, op: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    failed.get(name)!.add(op);
    throw error;
  }
}

afterAll(() => {
  const counts = devices.map((name) => {
    const reason = missing.get(name);
    if (reason !== undefined) return `${name} not run (${reason})`;
    return `${name} ${allOps.length - failed.get(name)!.size}/${allOps.length}`;
  });
  console.log(`ops with a passing generated test: ${counts.join(", ")}`);
});

test("names are unique and every op has samples", () => {
  expect(new Set(allOps.map(({ name }) => name)).size).toBe(allOps.length);
  expect(allOps.filter(({ samples }) => samples.length === 0).map(({ name }) => name)).toEqual([]);
});

describe.each(allOps.map((op) => ({ name: op.name, op })))("$name", ({ name, op }) => {
  for (const target of devices) {
    const on = missing.has(target) ? test.skip : test;
    on.each(op.samples.map((_, index) => index))(`${target}, sample %i`, (index) =>
      checked(target, name, () =>
        target === "reference" ? checkSample(op, index) : checkSampleOn(op, index, device(target)),
      ),
    );
    on.each(op.errors.map((_, index) => index))(`${target} refuses input %i`, (index) =>
      checked(target, name, () => checkRefusal(op, index, device(target))),
    );
  }
});
