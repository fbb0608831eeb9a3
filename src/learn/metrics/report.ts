// The classification report: precision, recall, F1 and support of each class, as data and as scikit-learn's text table.
import { ArgumentError } from "../../engine/core/index.ts";
import { classScores, type ClassScores } from "./classification.ts";
import { confusionMetric, type ClassOptions, type ConfusionState } from "./confusion.ts";
import { productError } from "./exact-sum.ts";
import type { Metric } from "./metric.ts";

/** Mean of the classes' scores. */
export type AverageScores = Omit<ClassScores, "label">;

/** The report; `toString` prints it. */
export interface ClassificationReport {
  readonly classes: readonly ClassScores[];
  readonly accuracy: number;
  readonly macro: AverageScores;
  readonly weighted: AverageScores;
  toString(): string;
}

/** Options of `classificationReport`. */
export interface ReportOptions extends ClassOptions {
  /** Names of the classes in the order of their labels; with `classes` unset, of those that occur. */
  readonly targetNames?: readonly string[];
  /** Decimals of the text. Default 2. */
  readonly digits?: number;
  readonly zeroDivision?: 0 | 1;
}

/**
 * A table of precision, recall, F1 and support for each class, with accuracy, macro and weighted average.
 *
 * @example
 * const batch = { yTrue: HostArray.from([0, 1, 1], "int32"), yPred: HostArray.from([0, 1, 0], "int32") };
 * console.log(`${measure(classificationReport(), batch)}`);
 */
export function classificationReport(options: ReportOptions = {}): Metric<ConfusionState, ClassificationReport> {
  const name = options.name ?? "classification_report";
  const { targetNames, digits = 2, zeroDivision = 0 } = options;
  if (!Number.isInteger(digits) || digits < 0 || digits > 15) {
    throw new ArgumentError(name, `\`digits\` is a whole number from 0 to 15: received ${digits}`);
  }
  return confusionMetric(name, options, (confusion) => {
    const classes = classScores(confusion, zeroDivision);
    if (targetNames !== undefined && targetNames.length !== classes.length) {
      throw new ArgumentError(
        name,
        `${targetNames.length} targetNames for the ${classes.length} classes ${confusion.labels.join(", ")}`,
        {
          hint: "set `classes` to the number of classes, so that absent ones are listed",
        },
      );
    }
    const { total } = confusion;
    const accuracy = confusion.hit.reduce((a, b) => a + b, 0) / total;
    const macro = average(classes, () => 1, total);
    const weighted = average(classes, (c) => c.support, total);
    const names = targetNames ?? classes.map((c) => String(c.label));
    return {
      classes,
      accuracy,
      macro,
      weighted,
      toString: () => text({ classes, accuracy, macro, weighted, names, digits }),
    };
  });
}

function average(classes: readonly ClassScores[], weight: (c: ClassScores) => number, support: number): AverageScores {
  const all = classes.reduce((sum, c) => sum + weight(c), 0);
  const mean = (of: (c: ClassScores) => number): number => classes.reduce((sum, c) => sum + of(c) * weight(c), 0) / all;
  return { precision: mean((c) => c.precision), recall: mean((c) => c.recall), f1: mean((c) => c.f1), support };
}

interface Table {
  readonly classes: readonly ClassScores[];
  readonly accuracy: number;
  readonly macro: AverageScores;
  readonly weighted: AverageScores;
  readonly names: readonly string[];
  readonly digits: number;
}

function text({ classes, accuracy, macro, weighted, names, digits }: Table): string {
  const width = Math.max("weighted avg".length, digits, ...names.map((n) => n.length));
  const line = (name: string, cells: readonly string[]): string =>
    `${name.padStart(width)} ${cells.map((c) => ` ${c.padStart(9)}`).join("")}\n`;
  const row = (name: string, s: AverageScores): string =>
    line(name, [fixed(s.precision, digits), fixed(s.recall, digits), fixed(s.f1, digits), String(s.support)]);
  return [
    line("", ["precision", "recall", "f1-score", "support"]),
    "\n",
    ...classes.map((c, i) => row(names[i]!, c)),
    "\n",
    line("accuracy", ["", "", fixed(accuracy, digits), String(macro.support)]),
    row("macro avg", macro),
    row("weighted avg", weighted),
  ].join("");
}

/** Decimals with exact halves rounded to even, as Python prints them (`toFixed` rounds them up). */
function fixed(x: number, digits: number): string {
  const scale = 10 ** digits;
  const scaled = x * scale;
  const half = scaled % 1 === 0.5 && productError(x, scale, scaled) === 0;
  return half && Math.floor(scaled) % 2 === 0 ? (Math.floor(scaled) / scale).toFixed(digits) : x.toFixed(digits);
}
