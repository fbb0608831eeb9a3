// tasks: recipes that join the rooms: what to load, which model, which loss, which metrics.
export * from "./evaluate/index.ts";
export * from "./pretrain/index.ts";
