// train: TrainState, the step, the one loop, callbacks, checkpoints, run log; Sequential and Model.
export * from "./callback.ts";
export * from "./callbacks/index.ts";
export * from "./checkpoint.ts";
export * from "./checkpoint-files.ts";
export * from "./diagnose.ts";
export * from "./keras/index.ts";
export * from "./loop.ts";
export * from "./measures.ts";
export * from "./objective.ts";
export * from "./progress.ts";
export * from "./run-log.ts";
export * from "./state.ts";
export * from "./step.ts";
export * from "./tfevents.ts";
export * from "./token-evaluation.ts";
export * from "./token-objective.ts";
export * from "./train-options.ts";
