// An explanation as one HTML page that needs nothing else: no network, no font, no library.
import type { Explanation, GradientCheck } from "./explanation.ts";
import { displayMath, escapeHtml, Figures, inlineMath, numeral } from "./figures.ts";
import { formula, fraction, group, partial, row, square, symbol, type Node } from "./formula.ts";
import { backwardLayer, bar, elementName, forwardLayer, samplePicture, updateLayer, type Page } from "./html-steps.ts";
import { networkMap } from "./network-map.ts";
import { formatError, formatLong } from "./numbers.ts";
import { script } from "./page-script.ts";
import { style } from "./page-style.ts";

/** Options of the page. */
export interface HtmlOptions {
  readonly title?: string;
}

const math = (...parts: readonly (Node | string)[]): string => inlineMath(formula(...parts));

// The page forbids itself everything but its own style, script and pictures.
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/**
 * The four steps as a page: formulas in MathML, weights and activations as pictures whose numbers appear under the
 * pointer, gradients beside their finite differences. Names from the model and the data are escaped.
 *
 * @example
 * const model = dense(2).init(0, { dtype: "float32", shape: [1, 3] });
 * const explanation = explain(model, { input: [1, 2, 3], target: [0, 1] }, { loss: "mse" });
 * renderHtml(explanation, { title: "Two neurons" }).startsWith("<!doctype html>"); // true
 */
export function renderHtml(explanation: Explanation, options: HtmlOptions = {}): string {
  const page: Page = { e: explanation, figures: new Figures() };
  const title = escapeHtml(options.title ?? "One training step, number by number");
  const body = [
    hero(page, title),
    words(),
    forward(page),
    loss(page),
    backward(page),
    update(page),
    checks(page),
    program(page),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
${body.join("\n")}
<div id="tip" role="tooltip"></div>
<div id="live" aria-live="polite" style="position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"></div>
<noscript><p style="padding:1rem">The pictures of weights are painted by a script in this page; formulas, bars and tables are there without it.</p></noscript>
<script type="application/json" id="numbers">${page.figures.json()}</script>
<script>${script}</script>
</body>
</html>
`;
}

function hero(page: Page, title: string): string {
  const { model, prediction, sample, loss: l, learningRate } = page.e;
  const picture = samplePicture(page);
  const answer =
    prediction.label === null || sample.label === null
      ? `The loss on this sample is <b class="num">${numeral(l.value)}</b>.`
      : prediction.label === sample.label
        ? `The network says <b class="good">${className(page, prediction.label)}</b>, and it is right.`
        : `The network says <b class="bad">${className(page, prediction.label)}</b>. The answer is <b>${className(page, sample.label)}</b>.`;
  const parameters = model.parameters.toLocaleString("en-US");
  return `<header><div class="hero${picture === undefined ? " plain" : ""}">
${picture ?? ""}<div><h1>${title}</h1>
<p class="lead">${answer} One step of training takes its loss from <b class="num">${numeral(l.value)}</b> to <b class="num">${numeral(l.after)}</b>. This page shows how: every number of the step, in the order in which it is computed.</p>
<p class="faint">${escapeHtml(model.kind)}, ${parameters} parameters, learning rate ${learningRate}. All numbers come from the program the engine traces for the step, run in float64.</p>
<nav aria-label="steps"><ol><li><a href="#forward">1 Forward</a></li><li><a href="#loss">2 Loss</a></li><li><a href="#backward">3 Backward</a></li><li><a href="#update">4 Update</a></li><li><a href="#check">The check</a></li><li><a href="#program">The program</a></li></ol></nav></div></div>
${networkMap(page.e)}</header><main>`;
}

function words(): string {
  const entries: readonly [string, string][] = [
    [math(symbol("a", 0)), "the sample; the input of layer 1"],
    [`${math(symbol("W"))}, ${math(symbol("b"))}`, "weights and biases: what training changes"],
    [math(symbol("z")), "the weighted sum in a neuron"],
    [
      math(symbol("a"), "=", symbol("σ"), group(symbol("z"))),
      "what the neuron gives: the sum, bent by the activation function (some texts write O)",
    ],
    [math(symbol("L")), "the loss: how wrong the answer is, as one number"],
    [math(symbol("δ"), "=", partial(symbol("z"))), "the error of a neuron: how the loss changes with its sum"],
    [math(symbol("η")), "the learning rate: how large a step is taken"],
    [math("⊙"), "product of numbers at the same place"],
  ];
  const list = entries.map(([term, meaning]) => `<dt>${term}</dt><dd>${meaning}</dd>`).join("");
  return `<details><summary>The symbols</summary><dl class="words">${list}</dl><p class="faint">The number in brackets is the layer. In files and programs W is stored transposed, as <code>kernel</code>, with a row for each input. <span class="pos">Orange</span> is positive, <span class="neg">blue</span> negative; point at a picture to read its numbers, or focus it and use the arrow keys.</p></details>`;
}

function section(
  id: string,
  { step, title, lead }: { step: string; title: string; lead: string },
  content: string,
): string {
  return `<section id="${id}" aria-labelledby="${id}-title"><div class="step"><b aria-hidden="true">${step}</b><h2 id="${id}-title">${title}</h2></div><p>${lead}</p>${content}</section>`;
}

function forward(page: Page): string {
  const lead =
    "The sample runs through the network, layer by layer. Nothing is learned yet: this is what the network does with what it knows.";
  const cards = page.e.layers.map((layer) => forwardLayer(page, layer)).join("");
  return section("forward", { step: "1", title: "Forward", lead }, cards);
}

function loss(page: Page): string {
  const { loss: l, sample, prediction } = page.e;
  const label = sample.label;
  const p = label === null ? undefined : prediction.values[label];
  const lead =
    "One number says how wrong the answer is. Everything that follows asks one question: how does this number change?";
  const why =
    l.name === "sparse_categorical_crossentropy" && label !== null && p !== undefined
      ? `<p>Cross-entropy looks at the right class alone, <b>${className(page, label)}</b>, and at the probability the network gave it. Sure and right costs nothing; the smaller the probability, the larger the loss.</p>`
      : "";
  const parts =
    l.penalty === null
      ? ""
      : `<p class="num">${numeral(l.data, 6)} for the answer and ${numeral(l.penalty, 6)} as penalty of the weights.</p>`;
  const result = `${l.formulas.map(displayMath).join("")}${why}<p class="lead num">${math(symbol("L"))} = <b>${numeral(l.value, 6)}</b></p>${parts}<p class="faint"><code>${escapeHtml(l.name)}</code></p>`;
  const content = `<article><div class="beside"><div>${result}</div>${answerTable(page)}</div></article>`;
  return section("loss", { step: "2", title: "Loss", lead }, content);
}

// What came out beside what should have.
function answerTable({ e }: Page): string {
  const { prediction, sample } = e;
  const n = prediction.values.length;
  if (prediction.shape.length > 1 || n > 40) return "";
  const largest = Math.max(...prediction.values.map(Math.abs)) || 1;
  const probabilities = sample.label !== null && prediction.values.every((v) => v >= 0 && v <= 1);
  const rows = prediction.values.map((v, i) => {
    const target = sample.label === null ? `<td class="n">${numeral(sample.target.values[i]!)}</td>` : "";
    const name = escapeHtml(e.classNames?.[i] ?? String(i));
    const drawn = probabilities ? bar(v, "k") : bar(v / largest);
    return `<tr${i === sample.label ? ' class="hit"' : ""}><td>${name}</td><td class="n">${numeral(v)}</td><td>${drawn}</td>${target}</tr>`;
  });
  const heads = sample.label === null ? '<th class="n">target</th>' : "";
  return `<div class="scroll"><table><thead><tr><th>output</th><th class="n">the network says</th><th></th>${heads}</tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function backward(page: Page): string {
  const lead =
    "Now from the last layer to the first. Each layer learns its error from the one behind it, and from its error the gradient of each of its weights: how the loss would change if that weight alone were a little larger.";
  const cards = page.e.layers
    .toReversed()
    .map((layer) => backwardLayer(page, layer))
    .join("");
  return section("backward", { step: "3", title: "Backward", lead }, cards);
}

function update(page: Page): string {
  const { loss: l, learningRate } = page.e;
  const lead = `Every weight takes a small step against its gradient: what raises the loss is lowered. The learning rate ${math(symbol("η"), "=")} ${learningRate} says how small.`;
  const cards = page.e.layers.map((layer) => updateLayer(page, layer)).join("");
  const top = Math.max(l.value, l.after) || 1;
  const width = (v: number): string => `${((100 * Math.max(0, v)) / top).toFixed(2)}%`;
  const promise = math("−", symbol("η"), {
    is: "sum",
    index: "w",
    body: square(partial(symbol("w"))),
  });
  const result = `<article><h3>What the step did</h3>
<div class="before-after"><span>loss before</span><div style="width:${width(l.value)}"></div><b class="num">${numeral(l.value, 6)}</b><span>loss after</span><div class="after" style="width:${width(l.after)}"></div><b class="num">${numeral(l.after, 6)}</b></div>
<p>The same sample through the updated network: the loss changed by <b class="num">${numeral(l.after - l.value)}</b>. For a small enough step the gradient promises ${promise} = <span class="num">${numeral(l.promised)}</span>; the rest is the curvature of the loss. Training is this step again and again, with other samples.</p></article>`;
  return section("update", { step: "4", title: "Update", lead }, cards + result);
}

function checks(page: Page): string {
  const { checks: all, layers } = page.e;
  if (all.length === 0) return "";
  const w = symbol("w");
  const difference = fraction(
    row(symbol("L"), group(row(w, "+", symbol("ε"))), "−", symbol("L"), group(row(w, "−", symbol("ε")))),
    row({ is: "number", text: "2" }, symbol("ε")),
  );
  const nameOf = ({ path, index }: GradientCheck): string => {
    const layer = layers.find((one) => Object.keys(one.before).some((name) => join(one.path, name) === path));
    const name = layer === undefined ? "" : Object.keys(layer.before).find((one) => join(layer.path, one) === path)!;
    return layer === undefined ? escapeHtml(path) : elementName(layer, name, index);
  };
  const rows = all.map((check) => {
    const [a, b] = agreeing(signed(check.analytic), signed(check.numeric));
    return `<tr><td>${nameOf(check)}</td><td class="n">${a}</td><td class="n">${b}</td><td class="n">${formatError(check.relativeError)}</td></tr>`;
  });
  const worst = Math.max(...all.map(({ relativeError }) => relativeError));
  const lead =
    "No derivation has to be believed. Move one weight a little up and a little down, run the forward pass for both, and see how the loss changes: that is its gradient, too.";
  const content = `<article>${displayMath(formula(partial(w), "≈", difference))}
<div class="scroll"><table><thead><tr><th>weight</th><th class="n">by backpropagation</th><th class="n">by differences</th><th class="n">relative error</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>
<p class="faint">Digits on which both agree are <mark>marked</mark>. Largest relative error: ${formatError(worst)}. Of each parameter the weight of largest gradient is checked, and others drawn by chance among those that are not negligible beside it.</p></article>`;
  return section("check", { step: "✓", title: "The check", lead }, content);
}

const signed = (x: number): string => formatLong(x).replaceAll("-", "−");
const join = (path: string, name: string): string => (path === "model" ? name : `${path.replace(/#\d+$/, "")}.${name}`);

// The common beginning of two numbers, marked in both.
function agreeing(a: string, b: string): [string, string] {
  let n = 0;
  while (n < a.length && a[n] === b[n]) n++;
  const mark = (text: string): string => `<mark>${text.slice(0, n)}</mark>${text.slice(n)}`;
  return [mark(a), mark(b)];
}

function program({ e }: Page): string {
  const notes =
    e.notes.length === 0
      ? ""
      : `<ul class="notes">${e.notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("")}</ul>`;
  return `<section id="program"><details><summary>The program: the whole step as the engine sees it</summary><p class="faint">Forward, loss, backward and update, one operation a line. The compiler makes kernel calls of it.</p><pre>${escapeHtml(e.program)}</pre></details>${notes}</section></main><footer>Made by <code>chainrule explain</code>. This file loads nothing from anywhere.</footer>`;
}

function className({ e }: Page, label: number): string {
  return escapeHtml(e.classNames?.[label] ?? String(label));
}
