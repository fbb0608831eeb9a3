// explain: the glass box.
export * from "./explain.ts";
export * from "./explanation.ts";
export { checkGradients, choosePlaces, type CheckOptions, type CheckPlace } from "./checks.ts";
export { toMathml, toTex, toText, type Formula, type Node as FormulaNode } from "./formula.ts";
export { renderText, type TextOptions } from "./render-text.ts";
export { renderHtml } from "./render-html.ts";
