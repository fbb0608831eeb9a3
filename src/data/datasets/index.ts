// datasets: what a training loop consumes, and data sets everyone knows.
export * from "./cifar.ts";
export * from "./dataset.ts";
export * from "./fetch.ts";
export * from "./known.ts";
export * from "./loader.ts";
export { fashionMnist, mnist, type FolderOptions, type ImageDataset } from "./mnist.ts";
export * from "./prepare.ts";
export * from "./split.ts";
