// testing: the checks this package holds itself to, for your own ops, layers and backends.
export * from "./all-close.ts";
export * from "./central-differences.ts";
export * from "./check-backend.ts";
export * from "./check-module.ts";
export * from "./check-op.ts";
export * from "./grad-check.ts";
export * from "./runner.ts";
export * from "./sample.ts";
