// metrics: what a model is worth, measured over a stream of batches in float64. Host arrays only.
export * from "./accuracy.ts";
export * from "./calibration.ts";
export * from "./classification.ts";
export * from "./confusion.ts";
export * from "./interval.ts";
export * from "./mean.ts";
export * from "./metric.ts";
export * from "./probability.ts";
export * from "./ranking.ts";
export * from "./regression.ts";
export * from "./report.ts";
export * from "./resolve.ts";
