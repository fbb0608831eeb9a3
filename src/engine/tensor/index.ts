// tensor: what users compute with.
export * as random from "./random.ts";
export * from "./explain-plan.ts";
export * from "./functions/index.ts";
export * from "./tensor.ts";
export * from "./tensor-tree.ts";
export * from "./transforms.ts";
export {
  defaultDevice,
  device,
  peakOf,
  setDefaultDevice,
  withDevice,
  type Device,
  type DeviceName,
} from "../runtime/index.ts";
