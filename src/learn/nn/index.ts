// nn: modules, layers, initializers, losses.
export * from "./context.ts";
export * from "./module.ts";
export * from "./parameter.ts";
