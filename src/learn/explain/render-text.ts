// An explanation as text for terminals: the four steps, formulas with their numbers, the picture in characters.
import type { ExplainedLayer, Explanation, NumberArray, Quantity } from "./explanation.ts";
import { superscript, type Formula } from "./formula.ts";
import { abridge, coordinates, formatError, formatLong, formatNumber, formatShape, indexOfLargest } from "./numbers.ts";

export interface TextOptions {
  /** Columns of the terminal; 100 unless said. */
  readonly width?: number;
  /** With ANSI colours; false unless said. */
  readonly color?: boolean;
}

type Style = (text: string) => string;
interface Styles {
  readonly title: Style;
  readonly formula: Style;
  readonly faint: Style;
  readonly good: Style;
  readonly bad: Style;
}

const ansi =
  (code: string, on: boolean): Style =>
  (text) =>
    on ? `\u001b[${code}m${text}\u001b[0m` : text;

/**
 * The four steps as text.
 *
 * @example
 * const model = dense(2).init(0, { dtype: "float32", shape: [1, 3] });
 * const explanation = explain(model, { input: [1, 2, 3], target: [0, 1] }, { loss: "mse" });
 * renderText(explanation, { width: 80 }).includes("z⁽¹⁾ = W⁽¹⁾ a⁽⁰⁾ + b⁽¹⁾"); // true
 */
export function renderText(explanation: Explanation, { width = 100, color = false }: TextOptions = {}): string {
  const styles: Styles = {
    title: ansi("1", color),
    formula: ansi("36", color),
    faint: ansi("2", color),
    good: ansi("32", color),
    bad: ansi("31", color),
  };
  const page = new Page(explanation, { width, styles });
  return [
    ...page.header(),
    ...picture(explanation, color),
    ...page.forward(),
    ...page.loss(),
    ...page.backward(),
    ...page.update(),
    ...page.checks(),
    ...page.notes(),
    "",
  ].join("\n");
}

class Page {
  readonly #e: Explanation;
  readonly #s: Styles;
  readonly #width: number;

  constructor(explanation: Explanation, { width, styles }: { width: number; styles: Styles }) {
    this.#e = explanation;
    this.#s = styles;
    this.#width = width;
  }

  header(): string[] {
    const { model, learningRate, device, layers } = this.#e;
    const parameters = model.parameters.toLocaleString("en-US");
    return [
      this.#s.title("One training step, number by number"),
      this.#s.faint(
        `${model.kind}, ${layers.length} layers, ${parameters} parameters · η = ${learningRate} · computed in float64 on ${device}`,
      ),
      "",
    ];
  }

  forward(): string[] {
    const { sample, layers } = this.#e;
    const lines = this.#section(
      "1  Forward",
      "Each layer multiplies by its weights, adds its bias, and bends the result.",
    );
    lines.push("");
    sample.input.forEach((input) => lines.push(...this.#array("a⁽⁰⁾, the sample", input)));
    for (const layer of layers) {
      lines.push("", this.#layer(layer, `${sizes(layer.input)} → ${formatShape(layer.activation.shape)}`));
      lines.push(...this.#formulas(layer.formulas.forward));
      if (layer.role === "layout") lines.push(`    ${this.#s.faint("the same numbers in another shape")}`);
      if (layer.role === "other") lines.push(`    ${this.#s.faint(`operations: ${layer.operations.join(" · ")}`)}`);
      for (const [name, values] of Object.entries(layer.before))
        lines.push(...this.#array(symbolOf(name, layer), values));
      if (layer.z !== null && layer.nonlinearity !== null) lines.push(...this.#array(`z${up(layer)}`, layer.z));
      if (layer.role !== "layout") lines.push(...this.#array(`a${up(layer)}`, layer.activation));
      lines.push(...this.#neuron(layer));
      for (const note of layer.notes) lines.push(`    ${this.#s.faint(`note: ${note}`)}`);
    }
    return lines;
  }

  loss(): string[] {
    const { loss, prediction, sample } = this.#e;
    const lines = this.#section("2  Loss", "One number says how far the answer is from the target.");
    lines.push("", ...this.#formulas(loss.formulas));
    lines.push(...this.#array("prediction", prediction));
    if (prediction.label !== null && sample.label !== null) {
      const right = prediction.label === sample.label;
      const verdict = right ? this.#s.good("right") : this.#s.bad("wrong");
      lines.push(`    says ${this.#class(prediction.label)}, the target is ${this.#class(sample.label)}: ${verdict}`);
    } else lines.push(...this.#array("target y", sample.target));
    lines.push(`    L = ${this.#s.title(formatNumber(loss.value, 6))}   ${this.#s.faint(loss.name)}`);
    if (loss.penalty !== null) {
      const parts = `${formatNumber(loss.data)} for the answer + ${formatNumber(loss.penalty)} penalty of the weights`;
      lines.push(`    ${this.#s.faint(parts)}`);
    }
    return lines;
  }

  backward(): string[] {
    const lines = this.#section(
      "3  Backward",
      "From the last layer to the first: δ says how the loss changes with each z.",
    );
    for (const layer of this.#e.layers.toReversed()) {
      lines.push("", this.#layer(layer, ""));
      lines.push(...this.#formulas(layer.formulas.backward));
      const { activationGradient, slope, delta, nonlinearity } = layer;
      if (layer.role === "layout") {
        lines.push(`    ${this.#s.faint("hands the gradient back in its input's shape")}`);
        continue;
      }
      if (activationGradient !== null && nonlinearity !== null)
        lines.push(...this.#array(`∂L/∂a${up(layer)}`, activationGradient));
      if (slope !== null && layer.z !== null) lines.push(...this.#array(`${nonlinearity}′(z${up(layer)})`, slope));
      if (delta === null) lines.push(`    ${this.#s.faint("the loss does not depend on it")}`);
      else lines.push(...this.#array(`δ${up(layer)}`, delta));
      lines.push(...this.#formulas(layer.formulas.gradients));
      for (const [name, gradient] of Object.entries(layer.gradients))
        lines.push(...this.#array(gradientSymbol(symbolOf(name, layer)), gradient));
    }
    return lines;
  }

  update(): string[] {
    const { learningRate, loss, layers } = this.#e;
    const lines = this.#section("4  Update", `A small step against the gradient, η = ${learningRate}.`);
    for (const layer of layers) {
      if (Object.keys(layer.after).length === 0) continue;
      lines.push("", this.#layer(layer, ""), ...this.#formulas(layer.formulas.update));
      for (const [name, after] of Object.entries(layer.after)) {
        const i = indexOfLargest(layer.gradients[name]!.values);
        const before = formatNumber(layer.before[name]!.values[i]!, 6);
        const slope = formatNumber(layer.gradients[name]!.values[i]!, 6);
        const place = `${name}${formatShape(coordinates(i, after.shape))}`;
        lines.push(`    ${place}: ${before} − ${learningRate} · ${slope} = ${formatNumber(after.values[i]!, 6)}`);
      }
    }
    lines.push(
      "",
      `    L = ${formatNumber(loss.value, 6)} before, ${this.#s.title(formatNumber(loss.after, 6))} after: ${signed(loss.after - loss.value)}`,
      `    ${this.#s.faint(`the gradient promised −η Σ g² = ${formatNumber(loss.promised)} for a small enough step`)}`,
    );
    return lines;
  }

  checks(): string[] {
    const { checks } = this.#e;
    if (checks.length === 0) return [];
    const lines = this.#section(
      "Check",
      "Some gradients beside central differences: (L(w + ε) − L(w − ε)) / 2ε, from two forward runs each.",
    );
    lines.push("");
    const rows = checks.map(({ path, index, analytic, numeric, relativeError }) => [
      `${path}${formatShape(index)}`,
      formatLong(analytic),
      formatLong(numeric),
      formatError(relativeError),
    ]);
    const all = [["weight", "backpropagation", "difference", "relative error"], ...rows];
    const widths = [0, 1, 2, 3].map((c) => Math.max(...all.map((line) => line[c]!.length)));
    all.forEach((line, i) => {
      const text = line.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join("  ");
      lines.push(`    ${i === 0 ? this.#s.faint(text) : text}`);
    });
    return lines;
  }

  notes(): string[] {
    return this.#e.notes.length === 0 ? [] : ["", ...this.#e.notes.map((note) => this.#s.faint(`note: ${note}`))];
  }

  #section(title: string, sentence: string): string[] {
    const rule = "─".repeat(Math.max(0, this.#width - title.length - 4));
    return ["", `── ${this.#s.title(title)} ${this.#s.faint(rule)}`, `   ${this.#s.faint(sentence)}`];
  }

  #layer({ path, kind, nonlinearity }: ExplainedLayer, detail: string): string {
    const what = nonlinearity === null ? kind : `${kind}, ${nonlinearity}`;
    return `  ${this.#s.title(path)} ${what}${detail === "" ? "" : this.#s.faint(`  ${detail}`)}`;
  }

  #formulas(formulas: readonly Formula[]): string[] {
    return formulas.map(({ text }) => `    ${this.#s.formula(text)}`);
  }

  // A name, the numbers, and for abridged arrays what they are like.
  #array(name: string, array: NumberArray | Quantity): string[] {
    const room = Math.max(3, Math.floor((this.#width - 8) / 10));
    const lines = abridge(array, { columns: room, rows: 5 });
    const { shape, values } = array;
    const label = `    ${name} ${shape.length === 0 ? "" : this.#s.faint(formatShape(shape))}`.trimEnd();
    if (lines.length <= 1 && values.length <= room) return [`${label} = ${lines[0] ?? ""}`];
    return [`${label}${this.#s.faint(this.#about(array))}`, ...lines.map((line) => `      ${line}`)];
  }

  // What an array is like, where only a part of it is printed; of a gradient the corners alone say little.
  #about(array: NumberArray | Quantity): string {
    if (!("statistics" in array) || array.values.length <= 32) return "";
    const { min, max, mean, norm } = array.statistics;
    const parts = [`min ${formatNumber(min)}`, `max ${formatNumber(max)}`, `mean ${formatNumber(mean)}`];
    const place = formatShape(coordinates(indexOfLargest(array.values), array.shape));
    return `  ${[...parts, `norm ${formatNumber(norm)}`, `largest at ${place}`].join(" · ")}`;
  }

  #neuron({ neuron, nonlinearity, number }: ExplainedLayer): string[] {
    if (neuron === null) return [];
    const { index, terms, others, bias, z, activation } = neuron;
    const products = terms.map(({ weight, value }) => `${formatNumber(weight)}·${formatNumber(value)}`).join(" + ");
    const rest = others > 0 ? ` + ${others} more` : "";
    const shift = bias === null ? "" : ` + ${formatNumber(bias)}`;
    const bent = nonlinearity === null ? "" : `, ${nonlinearity} → ${formatNumber(activation)}`;
    const text = `neuron ${index}: z${superscript(number)} = ${products}${rest}${shift} = ${formatNumber(z)}${bent}`;
    return [`    ${this.#s.faint(text)}`];
  }

  #class(label: number): string {
    const name = this.#e.classNames?.[label];
    return name === undefined || name === String(label) ? String(label) : `${label} (${name})`;
  }
}

const SHADES = " ░▒▓█";

// Two rows of pixels in one row of characters: half blocks in grey where colours show, shades of the mean elsewhere.
function picture({ sample }: Explanation, color: boolean): string[] {
  if (sample.image === null) return [];
  const [height, width, channels] = sample.image;
  const { values, statistics } = sample.input[0]!;
  const range = statistics.max - statistics.min;
  const light = (y: number, x: number): number => {
    if (y >= height || range === 0) return 0;
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += values[(y * width + x) * channels + c]!;
    return (sum / channels - statistics.min) / range;
  };
  const grey = (v: number): string => {
    const g = Math.round(Math.min(1, Math.max(0, v)) * 255);
    return `${g};${g};${g}`;
  };
  return Array.from({ length: Math.ceil(height / 2) }, (_, row) => {
    const cells = Array.from({ length: width }, (__, x) => {
      const [top, bottom] = [light(2 * row, x), light(2 * row + 1, x)];
      if (color) return `\u001b[38;2;${grey(top)};48;2;${grey(bottom)}m▀`;
      return SHADES[Math.min(SHADES.length - 1, Math.round(((top + bottom) / 2) * (SHADES.length - 1)))]!;
    });
    return color ? `    ${cells.join("")}\u001b[0m` : `    ${cells.join("")}`.trimEnd();
  });
}

const up = ({ number }: ExplainedLayer): string => superscript(number);
const sizes = (inputs: readonly NumberArray[]): string => inputs.map(({ shape }) => formatShape(shape)).join(", ");
const signed = (x: number): string => (x > 0 ? `+${formatNumber(x)}` : formatNumber(x).replace("-", "−"));

// The kernel is stored with a row for each input: W transposed, and so is its gradient.
const gradientSymbol = (name: string): string => (name.endsWith("ᵀ") ? `(∂L/∂${name.slice(0, -1)})ᵀ` : `∂L/∂${name}`);

// The kernel is stored with a row for each input: W transposed.
function symbolOf(name: string, layer: ExplainedLayer): string {
  if (layer.role !== "dense") return name;
  return name === "kernel" ? `W${up(layer)}ᵀ` : name === "bias" ? `b${up(layer)}` : name;
}
