// Tasks scored by log-likelihood: accuracies with their standard errors and intervals.
import { DataError } from "../../engine/core/index.ts";
import { wilsonInterval } from "../../learn/metrics/index.ts";
import { pairRow, type TextModel } from "./pair.ts";
import type { RowScore, ScoredRow, Scorer } from "./scorer.ts";
import { readTasks, type ChoiceItem, type ClozeItem, type TaskItem } from "./task-file.ts";

/** A share of rows, and how sure it is. */
export interface TaskShare {
  readonly value: number;
  /** `√(p (1 − p) / (n − 1))`; undefined for one row. */
  readonly standardError: number | undefined;
  /** Wilson's interval at 95 %. */
  readonly low: number;
  readonly high: number;
}

interface TaskCounts {
  readonly rows: number;
  /** Rows whose contexts were cut at the front to fit into the model. */
  readonly cut: number;
}

export interface ChoiceScore extends TaskCounts {
  readonly kind: "choice";
  /** The right choice has the largest `ln p`. */
  readonly accuracy: TaskShare;
  /** The right choice has the largest `ln p` per byte of its text. */
  readonly accuracyPerByte: TaskShare;
}

export interface ClozeScore extends TaskCounts {
  readonly kind: "cloze";
  /** Every token of the target is the most probable one: what greedy generation would write. */
  readonly accuracy: TaskShare;
  /** Mean `ln p` of a target, with its standard error (undefined for one row). */
  readonly logLikelihood: { readonly value: number; readonly standardError: number | undefined };
  /** `e^(−Σ ln p / tokens)` over the tokens of all targets. */
  readonly perplexity: number;
  /** `−Σ ln p / (ln 2 · bytes)` over the targets. */
  readonly bitsPerByte: number;
}

export type TaskScore = ChoiceScore | ClozeScore;

// Rows that are read before they are scored: enough to sort by length, few enough for any file.
const GROUP = 256;

/**
 * Scores a file of tasks (`readTasks`). Each choice or target is scored given its context, as `pairRow` says; contexts too
 * long for the model lose their beginning. Of equal choices the first counts.
 * Errors: DataError with file and line.
 *
 * @example no-run
 * const opened = await openModel("runs/shakespeare");
 * const score = await scoreTasks(new Scorer(opened.model), opened, { path: "arc.jsonl" });
 */
export async function scoreTasks(
  scorer: Scorer,
  model: TextModel,
  { path, onProgress }: { readonly path: string; readonly onProgress?: (rows: number) => void },
): Promise<TaskScore> {
  const tally = new Tally();
  let group: TaskItem[] = [];
  const flush = async (): Promise<void> => {
    const rows = group.map((item) => textsOf(item).map((text) => rowOf(scorer, model, { item, text })));
    const scores = await scorer.score(
      rows.flat().map(({ row }) => row),
      { greedy: group[0]!.kind === "cloze" },
    );
    let at = 0;
    group.forEach((item, i) => {
      const own = scores.slice(at, (at += rows[i]!.length));
      tally.add(item, own, { cut: rows[i]!.some(({ cut }) => cut) });
    });
    onProgress?.(tally.rows);
    group = [];
  };
  for await (const item of readTasks(path)) if (group.push(item) === GROUP) await flush();
  if (group.length > 0) await flush();
  return tally.score();
}

function textsOf(item: TaskItem): readonly string[] {
  return item.kind === "choice" ? item.choices : [item.target];
}

function rowOf(
  { model: { contextLength } }: Scorer,
  model: TextModel,
  { item: { context, where }, text }: { readonly item: TaskItem; readonly text: string },
): { readonly row: ScoredRow; readonly cut: boolean } {
  const row = located(where, () => pairRow(model, context, text));
  if (row === undefined) {
    throw new DataError(where, "the context is empty, and the model has no token that begins a text", {
      hint: "give each row a context",
    });
  }
  const over = row.ids.length - (contextLength + 1);
  if (over <= 0) return { row, cut: false };
  if (over >= row.from) {
    const tokens = row.ids.length - row.from;
    throw new DataError(where, `has a text of ${tokens} tokens: the model has ${contextLength} places`);
  }
  return { row: { ids: Array.from(row.ids).slice(over), from: row.from - over }, cut: true };
}

// What the tokenizer says names no line.
function located<T>(where: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new DataError(where, error.problem, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

/** Sums over rows; no row is kept. */
class Tally {
  rows = 0;
  #cut = 0;
  #hits = 0;
  #hitsPerByte = 0;
  #sum = 0;
  #squares = 0;
  #tokens = 0;
  #bytes = 0;
  #kind: TaskItem["kind"] = "choice";

  add(item: TaskItem, scores: readonly RowScore[], { cut }: { readonly cut: boolean }): void {
    this.rows++;
    this.#cut += cut ? 1 : 0;
    this.#kind = item.kind;
    if (item.kind === "choice") this.#choice(item, scores);
    else this.#cloze(item, scores[0]!);
  }

  #choice({ choices, answer }: ChoiceItem, scores: readonly RowScore[]): void {
    const sums = scores.map(({ logLikelihood }) => logLikelihood);
    const perByte = sums.map((sum, i) => sum / Buffer.byteLength(choices[i]!));
    this.#hits += sums.indexOf(Math.max(...sums)) === answer ? 1 : 0;
    this.#hitsPerByte += perByte.indexOf(Math.max(...perByte)) === answer ? 1 : 0;
  }

  #cloze({ target }: ClozeItem, { logLikelihood, tokens, greedy }: RowScore): void {
    this.#hits += greedy === true ? 1 : 0;
    this.#sum += logLikelihood;
    this.#squares += logLikelihood ** 2;
    this.#tokens += tokens;
    this.#bytes += Buffer.byteLength(target);
  }

  score(): TaskScore {
    const { rows } = this;
    const counts = { rows, cut: this.#cut };
    const accuracy = share(this.#hits, rows);
    if (this.#kind === "choice")
      return { kind: "choice", ...counts, accuracy, accuracyPerByte: share(this.#hitsPerByte, rows) };
    const value = this.#sum / rows;
    const variance = Math.max(0, this.#squares - rows * value * value) / (rows - 1);
    return {
      kind: "cloze",
      ...counts,
      accuracy,
      logLikelihood: { value, standardError: rows > 1 ? Math.sqrt(variance / rows) : undefined },
      perplexity: Math.exp(-this.#sum / this.#tokens),
      bitsPerByte: -this.#sum / (Math.LN2 * this.#bytes),
    };
  }
}

function share(hits: number, rows: number): TaskShare {
  const { estimate: value, low, high } = wilsonInterval(hits, rows);
  return { value, standardError: rows > 1 ? Math.sqrt((value * (1 - value)) / (rows - 1)) : undefined, low, high };
}
