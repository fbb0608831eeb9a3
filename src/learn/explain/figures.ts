// Figures of the HTML page: bars, pictures and matrices of numbers, and the store the page's script reads them from.
import type { NumberArray, Quantity } from "./explanation.ts";
import { toMathml, type Formula } from "./formula.ts";
import { coordinates, formatNumber, formatShape, indexOfLargest } from "./numbers.ts";

/** Text safe in HTML, in content and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** A number with a real minus sign. */
export const numeral = (x: number, digits?: number): string => formatNumber(x, digits).replaceAll("-", "−");

/** A formula on a line of its own. */
export function displayMath({ tree, text }: Formula): string {
  return `<div class="formula"><math displaystyle="true" aria-label="${escapeHtml(text)}">${toMathml(tree)}</math></div>`;
}

/** A formula within text. */
export function inlineMath({ tree }: Pick<Formula, "tree">): string {
  return `<math>${toMathml(tree)}</math>`;
}

/** Tiles of rows and columns, and where the element (tile, row, column) is. */
export interface Grid {
  readonly tiles: number;
  readonly rows: number;
  readonly columns: number;
  readonly strides: readonly [number, number, number];
  /** What the tile, row and column number mean; empty where there is nothing to say. */
  readonly axes: readonly [string, string, string];
  /** Painted in one colour: for numbers that are all positive. */
  readonly ink?: boolean;
}

/** What is said about a figure: a caption, and the words for those who cannot see it. */
export interface Words {
  /** HTML. */
  readonly caption: string;
  /** Plain text. */
  readonly label: string;
}

// Up to this size numbers are kept with seven digits, above with 1/32767 of the largest: pages stay small.
const PRECISE = 16_384;
// All numbers of a page together.
const BUDGET = 450_000;

/** Makes figures and gathers their numbers. */
export class Figures {
  readonly #stored: { data: string; scale?: number }[] = [];
  readonly #ids = new Map<readonly number[], number>();
  #room = BUDGET;

  /** One bar a number, up for positive and down for negative ones. */
  bars(q: Quantity, { caption, label }: Words, axis: string = "number"): string {
    const n = q.values.length;
    // A chart of equal numbers has nothing to show.
    if (q.statistics.min === q.statistics.max && n > 1)
      return `<figure><figcaption>${caption} ${n} numbers, all ${numeral(q.statistics.min)}</figcaption></figure>`;
    const id = this.#store(q);
    if (id === undefined) return this.#tooLarge(q, caption);
    const top = Math.max(0, q.statistics.max);
    const bottom = Math.min(0, q.statistics.min);
    const range = top - bottom || 1;
    const y = (v: number): number => Math.round(((top - v) / range) * 960) / 10 + 2;
    const zero = y(0);
    const part = (keep: (v: number) => boolean): string =>
      q.values.flatMap((v, i) => (keep(v) ? [`M${i} ${zero}V${y(v)}h.84V${zero}z`] : [])).join("");
    const svg =
      `<svg viewBox="0 0 ${n} 100" preserveAspectRatio="none" role="img" aria-label="${escapeHtml(`${label}: ${spoken(q)}`)}" data-q="${id}" data-n="${n}" data-axis="${escapeHtml(axis)}">` +
      `<path class="pos" d="${part((v) => v > 0)}"/><path class="neg" d="${part((v) => v < 0)}"/>` +
      `<line class="zero" x1="0" x2="${n}" y1="${zero}" y2="${zero}"/></svg>`;
    return `<figure><figcaption>${caption} <span class="num">${rangeOf(q)}</span></figcaption>${svg}</figure>`;
  }

  /** Numbers as colours on a grid. */
  grid(q: Quantity, grid: Grid, { caption, label, wide = false }: Words & { readonly wide?: boolean }): string {
    const canvas = this.canvas(q, grid, label);
    if (canvas === undefined) return this.#tooLarge(q, caption);
    const place = formatShape(coordinates(indexOfLargest(q.values), q.shape));
    const about = `<span class="num">${rangeOf(q)}</span>${wide && q.shape.length > 1 ? `, largest at ${place}` : ""}`;
    return `<figure${wide ? ' class="wide"' : ""}><figcaption>${caption} ${about}</figcaption>${canvas}</figure>`;
  }

  /** Only the canvas; undefined where the page has no room for the numbers. */
  canvas(q: Quantity, grid: Grid, label: string): string | undefined {
    const id = this.#store(q);
    if (id === undefined) return undefined;
    const wanted = Math.sqrt((grid.tiles * grid.rows * 2) / grid.columns);
    const across = Math.max(1, Math.min(grid.tiles, divisorNear(grid.tiles, wanted)));
    const max = Math.max(Math.abs(q.statistics.min), Math.abs(q.statistics.max));
    const json = JSON.stringify({ ...grid, across, max });
    // A dot is at most 14 pixels wide.
    const style = ` style="max-width:${Math.max(8, across * (grid.columns + 1)) * 14}px"`;
    const alone = `${label}: ${spoken(q)}`;
    return `<canvas${style} role="img" aria-label="${escapeHtml(alone)}" data-q="${id}" data-grid="${escapeHtml(json)}"></canvas>`;
  }

  /** The numbers of all figures, as the JSON the script reads. Nothing in it can end a script element. */
  json(): string {
    return JSON.stringify(this.#stored);
  }

  #store({ values }: NumberArray): number | undefined {
    const known = this.#ids.get(values);
    if (known !== undefined) return known;
    if (values.length > this.#room) return undefined;
    this.#room -= values.length;
    const largest = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    if (values.length <= PRECISE)
      this.#stored.push({ data: toBase64(new Uint8Array(Float32Array.from(values).buffer)) });
    else {
      const scale = largest === 0 ? 1 : largest / 32767;
      const coarse = Int16Array.from(values, (v) => Math.round(v / scale));
      this.#stored.push({ data: toBase64(new Uint8Array(coarse.buffer)), scale });
    }
    this.#ids.set(values, this.#stored.length - 1);
    return this.#stored.length - 1;
  }

  #tooLarge(q: Quantity, caption: string): string {
    const { mean, std, norm } = q.statistics;
    const numbers = `mean ${numeral(mean)}, standard deviation ${numeral(std)}, norm ${numeral(norm)}`;
    const count = q.values.length.toLocaleString("en-US");
    return `<figure><figcaption>${caption} <span class="num">${rangeOf(q)}</span>; ${numbers}. Not drawn: ${count} numbers are too many for this page.</figcaption></figure>`;
  }
}

const rangeOf = ({ statistics: { min, max } }: Quantity): string => `${numeral(min)} … ${numeral(max)}`;

function spoken({ shape, values, statistics }: Quantity): string {
  const size = shape.length === 0 ? "one number" : `${values.length} numbers, shape ${shape.join(" by ")}`;
  return `${size}, from ${formatNumber(statistics.min)} to ${formatNumber(statistics.max)}, mean ${formatNumber(statistics.mean)}`;
}

// Rows of tiles look best when all are full: the divisor nearest to what the aspect wants.
function divisorNear(n: number, wanted: number): number {
  let best = Math.round(wanted);
  for (const k of [0, 1, 2, 3, 4]) {
    for (const candidate of [Math.round(wanted) + k, Math.round(wanted) - k])
      if (candidate > 0 && n % candidate === 0) return candidate;
  }
  return (best ||= 1);
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
