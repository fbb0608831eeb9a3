// The Keras façade: Sequential and Model with compile, fit, evaluate, predict.
export * from "./base-model.ts";
export * from "./compiled.ts";
export * from "./fit-options.ts";
export * from "./inputs.ts";
export * from "./model.ts";
export * from "./load-model.ts";
export * from "./model-config.ts";
export * from "./sequential.ts";
export * from "./summary.ts";
