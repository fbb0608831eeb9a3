// Scorer: log-probabilities of given tokens under a model, a batch of rows at a time; logits never leave the device.
import { ArgumentError, HostArray } from "../../engine/core/index.ts";
import { jit, tensor, type Jitted, type Tensor } from "../../engine/tensor/index.ts";
import { inference, tokenLosses, type NamedTensors } from "../../learn/nn/index.ts";
import type { CausalLM } from "../../models/index.ts";

/** Tokens of which the last ones are scored. */
export interface ScoredRow {
  readonly ids: ArrayLike<number>;
  /** Place of the first token that is scored, at least 1: each is scored given all tokens before it. */
  readonly from: number;
}

/** What a row scored. */
export interface RowScore {
  /** `Σ ln p` of its scored tokens. */
  readonly logLikelihood: number;
  /** How many were scored. */
  readonly tokens: number;
  /** Whether each scored token is the most probable one in its place. Undefined unless asked for. */
  readonly greedy: boolean | undefined;
}

export interface ScorerOptions {
  /** Tokens that go through the model in one call; 2048 unless said. */
  readonly batchTokens?: number;
  /** Values of the weights by path; the model's own unless said. */
  readonly values?: NamedTensors;
}

interface Inputs {
  readonly ids: Tensor;
  readonly labels: Tensor;
}
type Scored = { readonly losses: Tensor; readonly hits: Tensor | undefined };
type Forward = Jitted<[NamedTensors, Inputs], Scored>;

// Tokens whose logits exist at the same time where losses alone are asked for.
const CHUNK = 512;

/**
 * Scores tokens under a model. Rows of one call to the model are padded to a common width, one of a few, so that a few
 * plans serve rows of every length. Memory: the logits of 512 tokens, or of one batch where `greedy` is asked for.
 *
 * @example no-run
 * const [score] = await new Scorer(model).score([{ ids: [1, 5, 9], from: 1 }]);
 * score.logLikelihood; // ln p(5 | 1) + ln p(9 | 1, 5)
 */
export class Scorer {
  readonly model: CausalLM;
  readonly #values: NamedTensors;
  readonly #batchTokens: number;
  readonly #losses: Forward;
  readonly #greedy: Forward;

  constructor(model: CausalLM, { batchTokens = 2048, values = model.tensors() }: ScorerOptions = {}) {
    if (!Number.isInteger(batchTokens) || batchTokens < 1)
      throw new ArgumentError("batchTokens", `must be a whole number ≥ 1: received ${batchTokens}`);
    this.model = model;
    this.#values = values;
    this.#batchTokens = batchTokens;
    const logitsOf = (all: NamedTensors, ids: Tensor): Tensor => model.pure(all, { ids }, inference).output as Tensor;
    this.#losses = jit((all: NamedTensors, { ids, labels }: Inputs): Scored => {
      return { losses: tokenLosses(logitsOf(all, ids), labels, { chunk: CHUNK }), hits: undefined };
    });
    this.#greedy = jit((all: NamedTensors, { ids, labels }: Inputs): Scored => {
      const logits = logitsOf(all, ids);
      const hits = logits.argmax(-1).cast("int32").equal(labels).cast("float32");
      return { losses: tokenLosses(logits, labels), hits };
    });
  }

  /** Rows that go through the model together when the longest has so many tokens. */
  rowsAt(length: number): number {
    return Math.max(1, Math.floor(this.#batchTokens / this.#width(length - 1)));
  }

  /** The scores of rows, in their order. Rows of like length share a call. */
  async score(rows: readonly ScoredRow[], { greedy = false }: { readonly greedy?: boolean } = {}): Promise<RowScore[]> {
    const most = this.model.contextLength + 1;
    for (const { ids, from } of rows) {
      if (from >= 1 && from < ids.length && ids.length <= most) continue;
      throw new ArgumentError(
        "score",
        `a row has 2 to ${most} tokens, those from its second on may be scored: received ${ids.length} tokens from ${from} on`,
      );
    }
    const order = rows.map((_, i) => i).toSorted((a, b) => rows[b]!.ids.length - rows[a]!.ids.length);
    const scores = new Array<RowScore>(rows.length);
    for (let at = 0; at < order.length;) {
      const count = this.rowsAt(rows[order[at]!]!.ids.length);
      const batch = order.slice(at, at + count);
      const made = await this.#batch(
        batch.map((i) => rows[i]!),
        { height: count, greedy },
      );
      batch.forEach((i, j) => (scores[i] = made[j]!));
      at += count;
    }
    return scores;
  }

  async #batch(
    rows: readonly ScoredRow[],
    { height, greedy }: { readonly height: number; readonly greedy: boolean },
  ): Promise<RowScore[]> {
    const width = this.#width(rows[0]!.ids.length - 1);
    const ids = new Int32Array(height * width);
    const labels = new Int32Array(height * width).fill(-1);
    rows.forEach((row, i) => {
      for (let t = 0; t + 1 < row.ids.length; t++) {
        ids[i * width + t] = row.ids[t]!;
        if (t + 1 >= row.from) labels[i * width + t] = row.ids[t + 1]!;
      }
    });
    const inputs = { ids: ints(ids, [height, width]), labels: ints(labels, [height, width]) };
    const { losses, hits } = await (greedy ? this.#greedy : this.#losses).run(this.#values, inputs);
    const [each, hit] = [losses.host(), hits?.host()];
    const scores = rows.map((row, i): RowScore => {
      let sum = 0;
      let all = true;
      for (let t = row.from - 1; t + 1 < row.ids.length; t++) {
        sum -= each.get(i * width + t);
        if (hit !== undefined) all &&= hit.get(i * width + t) === 1;
      }
      return { logLikelihood: sum, tokens: row.ids.length - row.from, greedy: hit === undefined ? undefined : all };
    });
    for (const used of [inputs.ids, inputs.labels, losses, hits]) used?.dispose();
    return scores;
  }

  #width(tokens: number): number {
    let width = 8;
    while (width < tokens) width *= 2;
    return Math.min(width, this.model.contextLength);
  }
}

function ints(values: Int32Array, shape: readonly number[]): Tensor {
  return tensor(new HostArray("int32", shape, values), { dtype: "int32" });
}
