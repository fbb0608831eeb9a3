// The four steps as HTML: each layer with its formulas, its numbers as pictures, and a sentence that says what happens.
import type { ExplainedLayer, Explanation, Quantity } from "./explanation.ts";
import { displayMath, escapeHtml, inlineMath, numeral, type Figures, type Grid } from "./figures.ts";
import { apply, derivative, formula, partial, row, symbol, type Node } from "./formula.ts";
import { parameterNode } from "./formulas.ts";
import { formatShape } from "./numbers.ts";

/** What every section is made from. */
export interface Page {
  readonly e: Explanation;
  readonly figures: Figures;
}

const math = (...parts: readonly (Node | string)[]): string => inlineMath(formula(...parts));
const count = (n: number): string => n.toLocaleString("en-US");
const plural = (n: number, one: string): string => `${count(n)} ${one}${n === 1 ? "" : "s"}`;

// ── forward ──────────────────────────────────────────────────────────────────

/** A layer in the forward pass. */
export function forwardLayer(page: Page, layer: ExplainedLayer): string {
  const { number: l, z, activation, nonlinearity, role } = layer;
  const { figures } = page;
  const parts = Object.entries(layer.before).map(([name, values]) =>
    parameterFigure(page, layer, { name, values, caption: `<b>${math(nodeOf(layer, name))}</b>`, what: name }),
  );
  if (z !== null && nonlinearity !== null)
    parts.push(vectorFigure(figures, z, { node: symbol("z", l), says: "before the activation function" }));
  if (role !== "layout")
    parts.push(vectorFigure(figures, activation, { node: symbol("a", l), says: "what the layer gives" }));
  return card(layer, `${shapesOf(layer.input)} → ${formatShape(activation.shape)}`, [
    `<div class="pair">${layer.formulas.forward.map(displayMath).join("")}</div>`,
    `<p>${forwardSentence(layer)}</p>`,
    parts.length === 0 ? "" : `<div class="figures">${parts.join("")}</div>`,
    neuronNote(layer),
    notesOf(layer),
  ]);
}

function forwardSentence(layer: ExplainedLayer): string {
  const { role, nonlinearity, operations, input, activation } = layer;
  const units = activation.shape.at(-1) ?? 1;
  const name = escapeHtml(nonlinearity ?? "");
  if (role === "layout") {
    return operations.length === 0
      ? "Hands its input on unchanged."
      : `The same ${plural(activation.values.length, "number")}, now of shape ${formatShape(activation.shape)}.`;
  }
  if (role === "activation") return `Applies ${name}${meaningOf(nonlinearity)}. It has no weights.`;
  if (role === "dense") {
    const bent = nonlinearity === null ? "" : ` Then ${name} makes the layer's answer of it${meaningOf(nonlinearity)}.`;
    const bias = Object.keys(layer.before).length > 1 ? ", and adds its bias" : "";
    return `Each of the ${plural(units, "neuron")} multiplies the ${plural(input[0]!.shape.at(-1) ?? 1, "number")} before it by its own row of weights, sums up${bias}.${bent}`;
  }
  return `In the program this layer is: <code>${escapeHtml(operations.join(" · "))}</code>.`;
}

const MEANINGS: { readonly [name: string]: string } = {
  relu: "it keeps positive numbers and turns the others into 0",
  sigmoid: "it presses every number into the range from 0 to 1",
  tanh: "it presses every number into the range from −1 to 1",
  softmax: "it turns the numbers into probabilities: all positive, with sum 1",
};
const meaningOf = (name: string | null): string => (MEANINGS[name ?? ""] === undefined ? "" : `: ${MEANINGS[name!]}`);

function neuronNote({ neuron, nonlinearity, number: l, role }: ExplainedLayer): string {
  if (neuron === null || role !== "dense") return "";
  const { index, terms, others, zeros, bias, z, activation } = neuron;
  const products = terms.map(({ weight, value }) => `${bracket(weight)}·${bracket(value)}`).join(" + ");
  const silent = zeros === 0 ? "" : `, ${count(zeros)} of them 0`;
  const rest = others === 0 ? "" : ` + … <span class="faint">(${count(others)} more${silent})</span>`;
  const shift = bias === null ? "" : ` + ${bracket(bias)}`;
  const bent = nonlinearity === null ? "" : `, and ${escapeHtml(nonlinearity)} gives <b>${numeral(activation)}</b>`;
  return `<div class="neuron"><div>Neuron ${index}, for example, with its largest terms first:</div><div class="sum">${math(symbol("z", l))} = ${products}${rest}${shift} = <b>${numeral(z)}</b>${bent}.</div></div>`;
}

const bracket = (x: number): string => (x < 0 ? `(${numeral(x)})` : numeral(x));

// ── backward ─────────────────────────────────────────────────────────────────

/** A layer in the backward pass. */
export function backwardLayer(page: Page, layer: ExplainedLayer): string {
  const { number: l, role, delta, slope, activationGradient, nonlinearity, z } = layer;
  const { figures } = page;
  if (role === "layout") return card(layer, "", ["<p>Hands the gradient back in the shape of its input.</p>"]);
  if (delta === null) return card(layer, "", ["<p>The loss does not depend on this layer.</p>"]);
  const error = (q: Quantity): string =>
    vectorFigure(figures, q, { node: symbol("δ", l), says: "the error of the layer" });
  let chain = `<div class="figures">${error(delta)}</div>`;
  if (startsAtTarget(layer)) chain = classTable(page, layer);
  else if (z !== null && slope !== null && activationGradient !== null) {
    const back = { node: partial(symbol("a", l)), says: "from the layers behind" };
    const bend = { node: apply(derivative(nonlinearity!), symbol("z", l)), says: "the slope" };
    chain = `<div class="chain">${vectorFigure(figures, activationGradient, back)}<div class="sign" aria-label="times, element by element">⊙</div>${vectorFigure(figures, slope, bend)}<div class="sign" aria-label="equals">=</div>${error(delta)}</div>`;
  }
  const gradients = Object.entries(layer.gradients).map(([name, values]) =>
    parameterFigure(page, layer, {
      name,
      values,
      caption: `<b>${math(partial(nodeOf(layer, name)))}</b>`,
      what: `gradient of ${name}`,
    }),
  );
  return card(layer, "", [
    ...layer.formulas.backward.map(displayMath),
    `<p>${backwardSentence(page, layer)}</p>`,
    chain,
    `<div class="pair">${layer.formulas.gradients.map(displayMath).join("")}</div>`,
    gradients.length === 0
      ? ""
      : `<p>${gradientSentence(page, layer)}</p><div class="figures">${gradients.join("")}</div>`,
  ]);
}

// δ = a − y: the formulas say so where it holds.
const startsAtTarget = ({ formulas, nonlinearity, number: l }: ExplainedLayer): boolean =>
  nonlinearity === "softmax" &&
  formulas.backward[0]?.text === formula(symbol("δ", l), "=", symbol("a", l), "−", symbol("y")).text;

function backwardSentence({ e }: Page, layer: ExplainedLayer): string {
  const { slope, nonlinearity, z, number: l } = layer;
  if (startsAtTarget(layer)) {
    return "Backpropagation starts here. Softmax and cross-entropy together have the simplest error there is: the probabilities minus the target. It is negative for the right class (its z should grow) and positive for all others.";
  }
  if (z !== null && slope !== null) {
    const silent = slope.values.filter((s) => s === 0).length;
    const blocked =
      nonlinearity === "relu" && silent > 0
        ? ` relu′ is 1 where z was positive and 0 elsewhere: ${count(silent)} of the ${plural(slope.values.length, "neuron")} were silent and get no error at all.`
        : "";
    const last = e.layers.findLast(({ role }) => role !== "layout") === layer;
    const whence = last ? "comes from the loss" : `is the error of the next layer, sent back through its weights`;
    return `${math(partial(symbol("a", l)))} ${whence}: how much the loss would change with each output. Times the slope of the activation function it is the error of z.${blocked}`;
  }
  return layer.role === "dense"
    ? "The layer has no activation function: the gradient of its output is its error."
    : "The gradient the engine finds at this place of the program.";
}

function gradientSentence({ e }: Page, layer: ExplainedLayer): string {
  if (layer.role !== "dense") return "How the loss changes with each parameter.";
  const k = layer.from[0] ?? 0;
  const outer = `A weight joins one input to one neuron, so its gradient is the product of the two: that input times that neuron's error. The bias sees the input 1.`;
  const digit =
    e.sample.image !== null && k === 0
      ? " That is why every tile below is the picture itself, in the colour of its neuron's error and as strong as that error is."
      : ` Where ${math(symbol("a", k))} was 0, nothing is learned.`;
  return outer + digit;
}

// Logits, probabilities, target and error of each class, side by side.
function classTable({ e }: Page, layer: ExplainedLayer): string {
  const { z, activation, delta, number: l } = layer;
  if (z === null || delta === null || activation.shape.length !== 1 || activation.values.length > 40) return "";
  const { label, target } = e.sample;
  const rows = activation.values.map((p, i) => {
    const y = label === null ? target.values[i]! : Number(i === label);
    const cells = [z.values[i]!, p, y, delta.values[i]!].map((v) => `<td class="n">${numeral(v)}</td>`);
    const name = escapeHtml(e.classNames?.[i] ?? String(i));
    return `<tr${i === label ? ' class="hit"' : ""}><td>${name}</td>${cells.slice(0, 2).join("")}<td>${bar(p, "k")}</td>${cells.slice(2).join("")}<td>${bar(delta.values[i]!)}</td></tr>`;
  });
  const heads = [symbol("z", l), symbol("a", l), symbol("y"), symbol("δ", l)].map((node) => math(node));
  return `<div class="scroll"><table><thead><tr><th>class</th><th class="n">${heads[0]}</th><th class="n">${heads[1]}</th><th><span class="faint">probability</span></th><th class="n">${heads[2]}</th><th class="n">${heads[3]}</th><th><span class="faint">error</span></th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

/** A bar from −1 to 1, or from 0 to 1 with kind "k". */
export function bar(v: number, kind: "k" | "signed" = "signed"): string {
  const size = Math.min(1, Math.abs(v)) * (kind === "k" ? 100 : 50);
  const zero = kind === "k" ? 0 : 50;
  const left = v < 0 ? zero - size : zero;
  const sign = kind === "k" ? "k" : v < 0 ? "m" : "p";
  return `<span class="bar" style="--zero:${zero}%" aria-hidden="true"><i class="${sign}" style="left:${left.toFixed(1)}%;width:${size.toFixed(1)}%"></i></span>`;
}

// ── update ───────────────────────────────────────────────────────────────────

/** A layer in the update: its formulas, and some of its weights before and after. Empty for layers without trained weights. */
export function updateLayer({ e }: Page, layer: ExplainedLayer): string {
  const names = Object.keys(layer.after);
  if (names.length === 0) return "";
  const path = layer.path.replace(/#\d+$/, "");
  const rows = names.flatMap((name) => {
    const after = layer.after[name]!;
    const full = path === "model" ? name : `${path}.${name}`;
    const places = e.checks.filter((check) => check.path === full).map(({ index }) => index);
    return places.map((index) => {
      const flat = index.reduce((at, i, axis) => at * after.shape[axis]! + i, 0);
      const [was, slope, now] = [layer.before[name]!, layer.gradients[name]!, after].map(({ values }) => values[flat]!);
      return `<tr><td>${elementName(layer, name, index)}</td><td class="n">${numeral(was!, 6)}</td><td class="n">− ${e.learningRate} · ${bracket(slope!)}</td><td class="n">= <b>${numeral(now!, 6)}</b></td></tr>`;
    });
  });
  const table =
    rows.length === 0
      ? ""
      : `<div class="scroll"><table><thead><tr><th></th><th class="n">before</th><th class="n">step</th><th class="n">after</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
  return card(layer, "", [`<div class="pair">${layer.formulas.update.map(displayMath).join("")}</div>`, table]);
}

/** The name of one weight: neuron and input of a kernel, else its index. */
export function elementName(layer: ExplainedLayer, name: string, index: readonly number[]): string {
  const node = math(nodeOf(layer, name));
  if (layer.role === "dense" && name === "kernel" && index.length === 2)
    return `${node} <span class="faint">from input ${index[0]} to neuron ${index[1]}</span>`;
  if (layer.role === "dense" && index.length === 1) return `${node} <span class="faint">of neuron ${index[0]}</span>`;
  return `${node} <span class="faint">${formatShape(index)}</span>`;
}

// ── shared ───────────────────────────────────────────────────────────────────

function card(layer: ExplainedLayer, detail: string, parts: readonly string[]): string {
  const { kind, nonlinearity, path, number: l, role } = layer;
  const what = escapeHtml(nonlinearity === null || role === "activation" ? kind : `${kind}, ${nonlinearity}`);
  const title = role === "layout" ? what : `Layer ${l} <span class="faint">· ${what}</span>`;
  const right = `<span class="path">${escapeHtml(path)}${detail === "" ? "" : ` &nbsp; ${detail}`}</span>`;
  return `<article><div class="head"><h3>${title}</h3>${right}</div>${parts.join("")}</article>`;
}

const notesOf = ({ notes }: ExplainedLayer): string =>
  notes.length === 0 ? "" : `<ul class="notes">${notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;

const nodeOf = (layer: ExplainedLayer, name: string): Node =>
  layer.role === "dense" ? parameterNode(name, layer.number) : row(parameterNodePlain(name));
const parameterNodePlain = (name: string): Node => ({ is: "word", text: name });
const shapesOf = (inputs: readonly Quantity[]): string => inputs.map(({ shape }) => formatShape(shape)).join(", ");

// One number a neuron as bars; feature maps as tiles; anything else as a matrix.
function vectorFigure(figures: Figures, q: Quantity, { node, says }: { node: Node; says: string }): string {
  const text = formula(node).text;
  const words = { caption: `<b>${math(node)}</b> ${says},`, label: `${text}, ${says}` };
  if (q.shape.length <= 1) return figures.bars(q, words, "neuron");
  const [h, w, c] = q.shape as [number, number, number];
  if (q.shape.length === 3) {
    const maps: Grid = { tiles: c, rows: h, columns: w, strides: [1, w * c, c], axes: ["channel", "row", "column"] };
    return figures.grid(q, maps, { ...words, wide: true });
  }
  return figures.grid(q, matrixGrid(q, ["", "row", "column"]), words);
}

function matrixGrid({ shape, values }: Quantity, axes: Grid["axes"]): Grid {
  const columns = shape.at(-1) ?? 1;
  return { tiles: 1, rows: columns === 0 ? 0 : values.length / columns, columns, strides: [0, columns, 1], axes };
}

interface ParameterFigure {
  readonly name: string;
  readonly values: Quantity;
  /** HTML. */
  readonly caption: string;
  readonly what: string;
}

// A kernel behind a picture as one tile a neuron; another kernel with a row a neuron, as W is written; a bias as bars.
function parameterFigure({ e, figures }: Page, layer: ExplainedLayer, figure: ParameterFigure): string {
  const { name, values, caption, what } = figure;
  const label = `${what} of ${layer.path}`;
  const { shape } = values;
  const plain = layer.role === "dense" ? ` ${escapeHtml(name)},` : "";
  if (shape.length <= 1) return figures.bars(values, { caption: `${caption}${plain}`, label }, "neuron");
  if (shape.length !== 2) {
    const words = { caption: `${caption} ${formatShape(shape)},`, label };
    if (shape.length !== 4) return figures.grid(values, matrixGrid(values, ["", "row", "column"]), words);
    // A filter for each pair of input and output channel.
    const [rows, columns, from, to] = shape as [number, number, number, number];
    const pairs = from * to;
    const strides = [1, columns * pairs, pairs] as const;
    return figures.grid(values, { tiles: pairs, rows, columns, strides, axes: ["filter", "row", "column"] }, words);
  }
  const [inputs, units] = shape as [number, number];
  const { image } = e.sample;
  if (image !== null && layer.role === "dense" && layer.from[0] === 0 && image[0] * image[1] * image[2] === inputs) {
    const [rows, columns, channels] = image;
    const grid: Grid = {
      tiles: units,
      rows,
      columns: columns * channels,
      strides: [1, columns * channels * units, units],
      axes: ["neuron", "row", "column"],
    };
    const says = `one tile for each of the ${plural(units, "neuron")}, one dot for each pixel it sees,`;
    return figures.grid(values, grid, { caption: `${caption} ${says}`, label, wide: true });
  }
  const grid: Grid = { tiles: 1, rows: units, columns: inputs, strides: [0, 1, units], axes: ["", "neuron", "input"] };
  const says = layer.role === "dense" ? "rows are neurons, columns inputs," : "";
  return figures.grid(values, grid, { caption: `${caption} ${says}`, label });
}

/** The picture of the sample; undefined where it is none. */
export function samplePicture({ e, figures }: Page): string | undefined {
  const { image, input } = e.sample;
  if (image === null) return undefined;
  const [rows, columns, channels] = image;
  const strides = [1, columns * channels, channels] as const;
  const grid: Grid = {
    tiles: channels,
    rows,
    columns,
    strides,
    axes: [channels > 1 ? "channel" : "", "row", "column"],
    ink: true,
  };
  return figures.canvas(input[0]!, grid, "the sample");
}
