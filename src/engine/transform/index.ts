// transform: program to program. Reverse-mode differentiation; control-flow ops differentiate their bodies through it.
export * from "./vjp.ts";
