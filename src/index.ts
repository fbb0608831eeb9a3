// The package root: what a user who trains and fine-tunes models needs, from one import.
export * from "./engine/core/error.ts";
