// optim: optimizers as pairs of init and update, chains of them, clipping, schedules.
export * from "./adam-8bit.ts";
export * from "./adaptive.ts";
export * from "./clip.ts";
export * from "./groups.ts";
export * from "./muon.ts";
export * from "./optimizer.ts";
export * from "./optimizers.ts";
export * from "./scale.ts";
export * from "./schedule.ts";
export * from "./schedules.ts";
export * from "./transformation.ts";
