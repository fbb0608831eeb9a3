// Every op on every sample and every backend: shape, gradients by central differences, equality with the reference, refused inputs.
import { afterAll, describe, expect, test } from "vitest";
import { allOps } from "../../src/engine/ops/index.ts";
import { device, type DeviceName } from "../../src/engine/runtime/index.ts";
import { checkRefusal, checkSample, checkSampleOn } from "../../src/testing/index.ts";

// Programs are verified after each pass of the compiler.
process.env["CHAINRULE_VERIFY"] = "1";

const devices: readonly DeviceName[] = ["reference"];
const failed = new Map(devices.map((name) => [name, new Set<string>()]));

function checked(name: DeviceName, op: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    failed.get(name)!.add(op);
    throw error;
  }
}

afterAll(() => {
  const counts = devices.map((name) => `${name} ${allOps.length - failed.get(name)!.size}/${allOps.length}`);
  console.log(`ops with a passing generated test: ${counts.join(", ")}`);
});

test("names are unique and every op has samples", () => {
  expect(new Set(allOps.map(({ name }) => name)).size).toBe(allOps.length);
  expect(allOps.filter(({ samples }) => samples.length === 0).map(({ name }) => name)).toEqual([]);
});

describe.each(allOps.map((op) => ({ name: op.name, op })))("$name", ({ name, op }) => {
  test.each(op.samples.map((_, index) => index))("reference, sample %i", (index) =>
    checked("reference", name, () => checkSample(op, index)),
  );
  for (const target of devices) {
    if (target !== "reference") {
      test.each(op.samples.map((_, index) => index))(`${target}, sample %i`, (index) =>
        checked(target, name, () => checkSampleOn(op, index, device(target))),
      );
    }
    test.each(op.errors.map((_, index) => index))(`${target} refuses input %i`, (index) =>
      checked(target, name, () => checkRefusal(op, index, device(target))),
    );
  }
});
