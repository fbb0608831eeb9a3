// Running a program on host arrays: compile once for a device, then copy in, run, copy out.
import type { HostArray } from "../engine/core/index.ts";
import type { Program } from "../engine/program/index.ts";
import type { Device } from "../engine/runtime/index.ts";

/** A function of host arrays that runs `program` on `device`. On the reference device float32 stays float64. */
export function runner(program: Program, device: Device): (inputs: readonly HostArray[]) => HostArray[] {
  const executable = device.executable(program);
  return (inputs) => {
    const arrays = program.inputs.map((type, i) => device.put(inputs[i]!, type));
    const outputs = executable.run(arrays);
    const results = outputs.map((output) => output.read());
    for (const array of [...arrays, ...outputs]) array.dispose();
    return results;
  };
}
