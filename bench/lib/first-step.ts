// The process of the compile benchmark: the first step of a model, taken apart. Its weights are there before the clock starts.
import { defaultDevice } from "chainrule";
import { trainingStep, type StepName } from "./steps.ts";

/** Milliseconds of the parts of a first step, in their order. */
export interface FirstStep {
  readonly parts: readonly (readonly [name: string, ms: number])[];
  readonly threads: number;
  readonly device: string;
}

const { step, state, batch } = trainingStep(process.argv[2] as StepName);
const device = defaultDevice();
const { backend } = device;

// The clock is put around what the device and its backend are asked for.
const spent = { compile: 0, load: 0 };
const [executable, load] = [device.executable.bind(device), backend.load.bind(backend)];
const timed = <T>(part: keyof typeof spent, work: () => T): T => {
  const start = performance.now();
  const result = work();
  spent[part] += performance.now() - start;
  return result;
};
device.executable = (...args) => timed("compile", () => executable(...args));
backend.load = (plan) => timed("load", () => load(plan));

const start = performance.now();
const lowered = step.lower(state, batch);
const compiled = performance.now();
const compiling = spent.compile;
const [next, { loss }] = step(state, batch);
loss.item();
const ran = performance.now();
const [, second] = step(next, batch);
second.loss.item();
const again = performance.now();

const passes = lowered.passes.map(({ pass, ms }, i) => [`compile: ${i + 1} ${pass}`, ms] as const);
const inPasses = passes.reduce((sum, [, ms]) => sum + ms, 0);
const first: FirstStep = {
  parts: [
    ["trace and differentiate", compiled - start - compiling],
    ...passes,
    ["compile: key of the program, constants", compiling - inPasses],
    ["load: encode, arena", spent.load],
    ["first run", ran - compiled - spent.load],
    ["first step", ran - start],
    ["second step", again - ran],
  ],
  threads: device.threads,
  device: device.name,
};
console.log(JSON.stringify(first));
