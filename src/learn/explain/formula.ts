// Formulas as small trees, printed three ways: plain text, TeX, MathML. One tree, so that no two of them can disagree.

/** A formula ready to be shown. `text` and `tex` are printed from `tree`. */
export interface Formula {
  readonly text: string;
  readonly tex: string;
  readonly tree: Node;
}

/** Part of a formula. */
export type Node =
  | { readonly is: "symbol"; readonly name: string; readonly layer?: number; readonly transposed?: boolean }
  | { readonly is: "word"; readonly text: string; readonly prime?: boolean }
  | { readonly is: "number"; readonly text: string }
  | { readonly is: "operator"; readonly text: string }
  | { readonly is: "row"; readonly parts: readonly Node[] }
  | { readonly is: "group"; readonly body: Node }
  | { readonly is: "transposed"; readonly body: Node }
  | { readonly is: "square"; readonly body: Node }
  | { readonly is: "fraction"; readonly over: Node; readonly under: Node }
  | { readonly is: "sub"; readonly body: Node; readonly index: Node }
  | { readonly is: "sum"; readonly index: string; readonly body: Node };

/** A variable, with the number of its layer and perhaps transposed: `W⁽²⁾ᵀ`. */
export const symbol = (name: string, layer?: number, transposed: boolean = false): Node => ({
  is: "symbol",
  name,
  ...(layer === undefined ? {} : { layer }),
  ...(transposed ? { transposed } : {}),
});
/** An upright name: `relu`, `ln`. */
export const word = (text: string): Node => ({ is: "word", text });
/** The derivative of a named function: `relu′`. */
export const derivative = (text: string): Node => ({ is: "word", text, prime: true });
export const number = (value: number | string): Node => ({ is: "number", text: String(value).replace("-", "−") });
export const operator = (text: string): Node => ({ is: "operator", text });
export const group = (body: Node): Node => ({ is: "group", body });
export const transposed = (body: Node): Node => ({ is: "transposed", body });
/** `(x)²`. */
export const square = (body: Node): Node => ({ is: "square", body });
export const fraction = (over: Node, under: Node): Node => ({ is: "fraction", over, under });
export const sub = (body: Node, index: Node): Node => ({ is: "sub", body, index });
export const sum = (index: string, body: Node): Node => ({ is: "sum", index, body });

/** Parts side by side; strings among them are operators. */
export function row(...parts: readonly (Node | string)[]): Node {
  return { is: "row", parts: parts.map((part) => (typeof part === "string" ? operator(part) : part)) };
}

/** `f(x)`. */
export const apply = (fn: Node, x: Node): Node => row(fn, group(x));

/** `∂L/∂x`. */
export const partial = (x: Node): Node => fraction(row(operator("∂"), symbol("L")), row(operator("∂"), x));

/** A tree with its text forms. */
export function formula(...parts: readonly (Node | string)[]): Formula {
  const tree = row(...parts);
  return { text: toText(tree), tex: toTex(tree), tree };
}

const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";
/** `⁽²⁾` */
export const superscript = (n: number): string =>
  `⁽${[...String(n)].map((digit) => SUPERSCRIPT[Number(digit)]).join("")}⁾`;
const BINARY = new Set(["=", "+", "−", "⊙", "←", "≈", "·", "/"]);

/** Unicode text for terminals: `z⁽¹⁾ = W⁽¹⁾ a⁽⁰⁾ + b⁽¹⁾`. */
export function toText(node: Node): string {
  switch (node.is) {
    case "symbol":
      return (
        node.name + (node.layer === undefined ? "" : superscript(node.layer)) + (node.transposed === true ? "ᵀ" : "")
      );
    case "word":
      return node.text + (node.prime === true ? "′" : "");
    case "number":
    case "operator":
      return node.text;
    case "group":
      return `(${toText(node.body)})`;
    case "transposed":
      return node.body.is === "symbol" || node.body.is === "group"
        ? `${toText(node.body)}ᵀ`
        : `(${toText(node.body)})ᵀ`;
    case "square":
      return `(${toText(node.body)})²`;
    case "fraction":
      return `${toText(node.over)}/${toText(node.under)}`;
    case "sub":
      return `${toText(node.body)}[${toText(node.index)}]`;
    case "sum":
      return `Σ${node.index} ${toText(node.body)}`;
    case "row":
      return joinParts(node.parts, toText);
  }
}

// Operators of two sides get spaces; a function and its argument, or ∂ and its variable, stand close.
function joinParts(parts: readonly Node[], print: (node: Node) => string): string {
  return parts
    .map((part, i) => {
      const text = print(part);
      const before = parts[i - 1];
      // A minus with nothing to its left is a sign.
      const sign = part.is === "operator" && (before === undefined || before.is === "operator");
      if (part.is === "operator") return BINARY.has(part.text) && !sign ? ` ${text} ` : text;
      const close = before === undefined || before.is === "operator" || (part.is === "group" && before.is === "word");
      return close ? text : ` ${text}`;
    })
    .join("");
}

const TEX: { readonly [text: string]: string } = {
  δ: "\\delta",
  σ: "\\sigma",
  η: "\\eta",
  λ: "\\lambda",
  "∂": "\\partial ",
  "⊙": "\\odot",
  "←": "\\leftarrow",
  "−": "-",
  "·": "\\cdot",
  "≈": "\\approx",
};

/** TeX source: `z^{(1)} = W^{(1)} a^{(0)} + b^{(1)}`. */
export function toTex(node: Node): string {
  switch (node.is) {
    case "symbol": {
      const above =
        (node.layer === undefined ? "" : `(${node.layer})`) + (node.transposed === true ? "\\mathsf{T}" : "");
      return (TEX[node.name] ?? node.name) + (above === "" ? "" : `^{${above}}`);
    }
    case "word":
      return `\\operatorname{${node.text.replaceAll("_", "\\_")}}${node.prime === true ? "'" : ""}`;
    case "number":
      return node.text.replace("−", "-");
    case "operator":
      return TEX[node.text] ?? node.text;
    case "group":
      return `\\left(${toTex(node.body)}\\right)`;
    case "transposed":
      return `{${toTex(node.body)}}^{\\mathsf{T}}`;
    case "square":
      return `\\left(${toTex(node.body)}\\right)^{2}`;
    case "fraction":
      return `\\frac{${toTex(node.over)}}{${toTex(node.under)}}`;
    case "sub":
      return `{${toTex(node.body)}}_{${toTex(node.index)}}`;
    case "sum":
      return `\\sum_{${node.index}} ${toTex(node.body)}`;
    case "row":
      return joinParts(node.parts, toTex);
  }
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** Presentation MathML, without the `<math>` element around it. */
export function toMathml(node: Node): string {
  switch (node.is) {
    case "symbol":
      return script(node);
    case "word": {
      const body = `<mi mathvariant="normal">${escape(node.text)}</mi>`;
      return node.prime === true ? `<msup>${body}<mo>′</mo></msup>` : body;
    }
    case "number":
      return `<mn>${escape(node.text)}</mn>`;
    case "operator":
      return node.text === "∂" ? "<mi>∂</mi>" : `<mo>${escape(node.text)}</mo>`;
    case "group":
      return `<mrow><mo>(</mo>${toMathml(node.body)}<mo>)</mo></mrow>`;
    case "transposed":
      return `<msup><mrow>${toMathml(node.body)}</mrow><mi mathvariant="normal">T</mi></msup>`;
    case "square":
      return `<msup><mrow><mo>(</mo>${toMathml(node.body)}<mo>)</mo></mrow><mn>2</mn></msup>`;
    case "fraction":
      return `<mfrac><mrow>${toMathml(node.over)}</mrow><mrow>${toMathml(node.under)}</mrow></mfrac>`;
    case "sub":
      if (node.body.is === "symbol") return script(node.body, node.index);
      return `<msub><mrow>${toMathml(node.body)}</mrow><mrow>${toMathml(node.index)}</mrow></msub>`;
    case "sum":
      return `<munder><mo>∑</mo><mi>${escape(node.index)}</mi></munder>${toMathml(node.body)}`;
    case "row":
      return `<mrow>${node.parts.map((part, i) => spaced(part, node.parts[i - 1])).join("")}</mrow>`;
  }
}

// A variable with the number of its layer above and perhaps an index below. The brackets are text: as operators they
// would bring spaces.
function script({ name, layer, transposed: turned }: Extract<Node, { is: "symbol" }>, index?: Node): string {
  const body = `<mi>${escape(name)}</mi>`;
  const above =
    (layer === undefined ? "" : `<mtext>(${layer})</mtext>`) +
    (turned === true ? '<mi mathvariant="normal">T</mi>' : "");
  const below = index === undefined ? "" : `<mrow>${toMathml(index)}</mrow>`;
  if (above === "") return below === "" ? body : `<msub>${body}${below}</msub>`;
  return below === ""
    ? `<msup>${body}<mrow>${above}</mrow></msup>`
    : `<msubsup>${body}${below}<mrow>${above}</mrow></msubsup>`;
}

// Between neighbours: an invisible product sign between factors, a thin space behind a function without brackets.
function spaced(part: Node, before: Node | undefined): string {
  if (part.is === "operator") {
    const sign = before === undefined || before.is === "operator";
    return sign && part.text === "−" ? '<mo form="prefix">−</mo>' : toMathml(part);
  }
  if (before === undefined || before.is === "operator") return toMathml(part);
  if (before.is === "word")
    return `<mo>&#8289;</mo>${part.is === "group" ? "" : '<mspace width="0.17em"/>'}${toMathml(part)}`;
  return `<mo>&#8290;</mo><mspace width="0.12em"/>${toMathml(part)}`;
}
