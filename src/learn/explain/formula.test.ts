// One tree, three printings.
import { expect, it } from "vitest";
import {
  apply,
  derivative,
  formula,
  fraction,
  group,
  number,
  partial,
  row,
  square,
  sub,
  sum,
  symbol,
  toMathml,
  word,
} from "./formula.ts";

it.each([
  [
    formula(symbol("z", 12), "=", symbol("W", 12), symbol("a", 11), "+", symbol("b", 12)),
    "z⁽¹²⁾ = W⁽¹²⁾ a⁽¹¹⁾ + b⁽¹²⁾",
    "z^{(12)} = W^{(12)} a^{(11)} + b^{(12)}",
  ],
  [
    formula(
      symbol("δ", 1),
      "=",
      group(row(symbol("W", 2, true), symbol("δ", 2))),
      "⊙",
      apply(derivative("relu"), symbol("z", 1)),
    ),
    "δ⁽¹⁾ = (W⁽²⁾ᵀ δ⁽²⁾) ⊙ relu′(z⁽¹⁾)",
    "\\delta^{(1)} = \\left(W^{(2)\\mathsf{T}} \\delta^{(2)}\\right) \\odot \\operatorname{relu}'\\left(z^{(1)}\\right)",
  ],
  [
    formula(symbol("W"), "←", symbol("W"), "−", symbol("η"), partial(symbol("W"))),
    "W ← W − η ∂L/∂W",
    "W \\leftarrow W - \\eta \\frac{\\partial L}{\\partial W}",
  ],
  [
    formula(symbol("L"), "=", "−", word("ln"), sub(symbol("a", 3), symbol("y"))),
    "L = −ln a⁽³⁾[y]",
    "L = -\\operatorname{ln} {a^{(3)}}_{y}",
  ],
  [
    formula(
      symbol("L"),
      "=",
      fraction(number(1), number(4)),
      sum("i", square(row(sub(symbol("a", 1), symbol("i")), "−", sub(symbol("y"), symbol("i"))))),
    ),
    "L = 1/4 Σi (a⁽¹⁾[i] − y[i])²",
    "L = \\frac{1}{4} \\sum_{i} \\left({a^{(1)}}_{i} - {y}_{i}\\right)^{2}",
  ],
])("%#", (made, text, tex) => {
  expect(made.text).toBe(text);
  expect(made.tex).toBe(tex);
});

it("MathML sets the layer above, the index below, and escapes names", () => {
  expect(toMathml(sub(symbol("a", 3), symbol("y")))).toBe(
    "<msubsup><mi>a</mi><mrow><mi>y</mi></mrow><mrow><mtext>(3)</mtext></mrow></msubsup>",
  );
  expect(toMathml(word("<b>&"))).toBe('<mi mathvariant="normal">&#60;b&#62;&#38;</mi>');
  expect(toMathml(row("−", symbol("x")))).toBe('<mrow><mo form="prefix">−</mo><mi>x</mi></mrow>');
});
