// The callbacks that come with the package.
export * from "./csv-logger.ts";
export * from "./early-stopping.ts";
export * from "./learning-rate.ts";
export * from "./loss-guard.ts";
export * from "./model-checkpoint.ts";
export * from "./monitor.ts";
export * from "./samples.ts";
export * from "./tensor-board.ts";
export * from "./terminate-on-nan.ts";
