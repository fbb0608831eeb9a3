// The package root: what a user who computes with tensors, builds, trains and explains models needs, from one import.
// Short names are layers here (`dropout`, `softmax`, `conv2d`); the functions of tensors with these names are in `chainrule/tensor`.

// Words: arrays, types, errors.
export {
  ArgumentError,
  BackendError,
  ChainruleError,
  CheckpointError,
  DataError,
  DtypeError,
  FormatError,
  HostArray,
  IndexError,
  NumericError,
  ShapeError,
  TraceError,
  VerifyError,
  type DType,
  type Nested,
  type Shape,
  type StorageDType,
  type TensorType,
  type TypedArray,
} from "./engine/core/index.ts";

// Computing: tensors, functions of functions, devices, random numbers from keys.
export {
  arange,
  checkpoint,
  defaultDevice,
  device,
  explainPlan,
  eye,
  full,
  grad,
  jit,
  linspace,
  ones,
  random,
  scan,
  setDefaultDevice,
  Tensor,
  tensor,
  traceProgram,
  valueAndGrad,
  vjp,
  withDevice,
  zeros,
  type Device,
  type DeviceName,
  type Jitted,
  type Profile,
  type TensorLike,
} from "./engine/tensor/index.ts";

// Building: modules and layers, losses, initializers.
export * from "./learn/nn/index.ts";

// Training: optimizers, metrics, the models with compile, fit, evaluate and predict, callbacks.
export {
  adagrad,
  adam,
  adamax,
  adamw,
  adamw8bit,
  lion,
  muon,
  nadam,
  rmsprop,
  sgd,
  type Optimizer,
} from "./learn/optim/index.ts";
export * as optim from "./learn/optim/index.ts";
export * as metrics from "./learn/metrics/index.ts";
export * from "./learn/train/index.ts";

// Seeing.
export { explain, renderHtml, renderText, type Explanation } from "./learn/explain/index.ts";

// Data.
export * as datasets from "./data/datasets/index.ts";
