// The whole step in one drawing: activations flow to the right, errors back to the left, in the colours of their numbers.
import type { ExplainedLayer, Explanation, Quantity } from "./explanation.ts";
import { escapeHtml, numeral } from "./figures.ts";
import { superscript } from "./formula.ts";

const WIDTH = 1000;
const STRIP = 62;
const TALL = 132;
const FORWARD_TOP = 46;
const BACKWARD_TOP = 236;
const MOST_CELLS = 128;

/** An SVG of the layers that compute something; empty for networks of more than eight. */
export function networkMap({ layers, sample, loss }: Explanation): string {
  const shown = layers.filter(({ role, activation }) => role !== "layout" && activation.shape.length <= 1);
  if (shown.length === 0 || shown.length > 8 || shown.length < layers.filter(({ role }) => role !== "layout").length)
    return "";
  const columns = shown.length + 2;
  const step = (WIDTH - STRIP - 10) / (columns - 1);
  const x = (i: number): number => 5 + Math.round(i * step);
  const parts: string[] = [];
  const column = (i: number, top: number, { q, title, below }: { q: Quantity; title: string; below: string }): void => {
    parts.push(
      `<rect class="frame" x="${x(i)}" y="${top}" width="${STRIP}" height="${TALL}" rx="4"/>`,
      cells(q, x(i), top),
    );
    parts.push(label(x(i), top - 9, title, "t"), label(x(i), top + TALL + 16, below));
  };
  const input = sample.input[0]!;
  if (sample.image !== null && sample.image[2] === 1) {
    const side = pixels(input, sample.image, { left: x(0), top: FORWARD_TOP });
    parts.push(
      side,
      label(x(0), FORWARD_TOP - 9, `a${superscript(0)}`, "t"),
      label(x(0), FORWARD_TOP + TALL + 16, "the sample"),
    );
  } else column(0, FORWARD_TOP, { q: input, title: `a${superscript(0)}`, below: "the sample" });
  shown.forEach((layer, i) => {
    const title = `a${superscript(layer.number)}`;
    column(i + 1, FORWARD_TOP, { q: layer.activation, title, below: nameOf(layer) });
    parts.push(arrow(x(i) + STRIP, x(i + 1), FORWARD_TOP + TALL / 2, "f"));
    if (layer.delta === null) return;
    column(i + 1, BACKWARD_TOP, { q: layer.delta, title: `δ${superscript(layer.number)}`, below: "" });
    if (i > 0) parts.push(arrow(x(i + 1), x(i) + STRIP, BACKWARD_TOP + TALL / 2, "b"));
  });
  const end = x(columns - 1);
  const last = x(columns - 2) + STRIP;
  const middle = (FORWARD_TOP + BACKWARD_TOP + TALL) / 2;
  parts.push(
    arrow(last, end + STRIP / 2, FORWARD_TOP + TALL / 2, "f", middle - 24),
    arrow(end + STRIP / 2, last, BACKWARD_TOP + TALL / 2, "b", middle + 22),
    `<text class="t" x="${end + STRIP / 2}" y="${middle + 4}" text-anchor="middle">L = ${numeral(loss.value)}</text>`,
    `<text class="fw" x="5" y="14">forward →</text>`,
    `<text class="bw" x="5" y="${BACKWARD_TOP + TALL / 2 + 4}">← backward</text>`,
  );
  const words = `The network: the sample, then ${shown.map((one) => `${nameOf(one)} with ${one.activation.values.length} numbers`).join(", ")}; the loss ${numeral(loss.value)}; and the errors going back.`;
  return `<svg id="map" viewBox="0 0 ${WIDTH} ${BACKWARD_TOP + TALL + 22}" role="img" aria-label="${escapeHtml(words)}">${parts.join("")}</svg>`;
}

// Numbers as a column of cells, in several columns if they are many; long arrays are sampled evenly.
function cells({ values, statistics }: Quantity, left: number, top: number): string {
  const n = Math.min(values.length, MOST_CELLS);
  const across = n > 64 ? 8 : n > 16 ? 4 : 1;
  const rows = Math.ceil(n / across);
  const [w, h] = [STRIP / across, TALL / rows];
  const max = Math.max(Math.abs(statistics.min), Math.abs(statistics.max)) || 1;
  return Array.from({ length: n }, (_, i) => {
    const v = values[Math.floor((i * values.length) / n)]!;
    if (v === 0) return "";
    const [cx, cy] = [left + (i % across) * w, top + Math.floor(i / across) * h];
    const kind = v < 0 ? "neg" : "pos";
    return `<rect class="${kind}" x="${round(cx)}" y="${round(cy)}" width="${round(w - 0.6)}" height="${round(h - 0.6)}" fill-opacity="${round(Math.abs(v) / max)}"/>`;
  }).join("");
}

// The picture itself, in the middle of where a column of cells would be.
function pixels(
  { values, statistics: { min, max } }: Quantity,
  [height, width]: readonly [number, number, number],
  { left, top }: { left: number; top: number },
): string {
  const size = STRIP / width;
  const above = top + (TALL - size * height) / 2;
  const dots = values.map((v, i) => {
    const light = (v - min) / (max - min || 1);
    if (light < 0.02) return "";
    return `<rect x="${round(left + (i % width) * size)}" y="${round(above + Math.floor(i / width) * size)}" width="${round(size)}" height="${round(size)}" fill-opacity="${round(light)}"/>`;
  });
  const frame = `<rect class="frame" x="${left}" y="${round(above)}" width="${STRIP}" height="${round(size * height)}" rx="4"/>`;
  return `${frame}<g class="ink">${dots.join("")}</g>`;
}

const round = (v: number): number => Math.round(v * 100) / 100;

function label(left: number, y: number, text: string, kind: string = ""): string {
  if (text === "") return "";
  return `<text${kind === "" ? "" : ` class="${kind}"`} x="${left + STRIP / 2}" y="${y}" text-anchor="middle">${escapeHtml(text)}</text>`;
}

// Straight, or with a bend up or down to `toY`.
function arrow(from: number, to: number, y: number, kind: "f" | "b", bendY?: number): string {
  const side = Math.sign(to - from);
  if (bendY === undefined) {
    const [a, b] = [from + 6 * side, to - 12 * side];
    return `<path class="${kind}" stroke-width="1.5" d="M${a} ${y}H${b}"/>${head(b, y, side, kind)}`;
  }
  if (kind === "f") {
    const up = Math.sign(bendY - y);
    return `<path class="f" stroke-width="1.5" d="M${from + 6} ${y}H${to - 14}Q${to} ${y} ${to} ${y + 14 * up}V${bendY - 6}"/><path class="fh" d="M${to - 4} ${bendY - 6}h8l-4 8z"/>`;
  }
  const up = Math.sign(bendY - y);
  return `<path class="b" stroke-width="1.5" d="M${from} ${bendY}V${y + 14 * up}Q${from} ${y} ${from - 14} ${y}H${to + 12}"/>${head(to + 12, y, -1, "b")}`;
}

const head = (x: number, y: number, side: number, kind: "f" | "b"): string =>
  `<path class="${kind}h" d="M${x} ${y - 4}v8l${8 * side}-4z"/>`;

function nameOf({ kind, nonlinearity, role }: ExplainedLayer): string {
  return nonlinearity === null || role === "activation" ? kind : nonlinearity;
}
