// The loss of the next token: one number a token, or the mean; over a large vocabulary by chunks of tokens.
import { ArgumentError, DtypeError, formatType, sameShape, ShapeError } from "../../engine/core/index.ts";
import {
  checkpoint,
  concat,
  crossEntropy,
  logSumExp,
  scan,
  where,
  zeros,
  type Tensor,
} from "../../engine/tensor/index.ts";
import { headOf } from "./head.ts";

export interface TokenLossOptions {
  /**
   * Tokens whose logits exist at the same time. The logits of a chunk are computed again for its gradient, so that
   * B · T · V numbers are never held: memory chunk · V for a third more work of the head. All at once unless said.
   */
  readonly chunk?: number;
  /** Share of the target that is spread evenly over the vocabulary (Szegedy et al. 2016). */
  readonly labelSmoothing?: number;
  /** Factor of `(ln Σ eˣ)²`, which keeps logits from drifting (Chowdhery et al. 2022); 1e-4 is common. */
  readonly zLoss?: number;
}

/**
 * Losses of tokens in nats: `(1 − ε)(Z − x[label]) + ε (Z − mean x) + ζ Z²` with `Z = ln Σ eˣ`, ε the label smoothing, ζ the
 * factor of the z-loss; 0 where the label is negative.
 * logits: [B, T, V], as a model gave them where `chunk` is used; labels: int32 [B, T]; result: [B, T].
 *
 * @example
 * const logits = zeros([1, 2, 4]);
 * tokenLosses(logits, tensor([[3, -1]], { dtype: "int32" })).sum().item(); // 1.3862943611198906
 */
export function tokenLosses(logits: Tensor, labels: Tensor, options: TokenLossOptions = {}): Tensor {
  if (labels.dtype !== "int32" || logits.rank < 2 || !sameShape(logits.shape.slice(0, -1), labels.shape)) {
    throw new ShapeError(
      "tokenLosses",
      `labels are int32, one for each row of logits [B,T,V]: received ${formatType(labels)} and ${formatType(logits)}`,
    );
  }
  const counted = labels.greaterEqual(0);
  const safe = where(counted, labels, 0);
  return where(counted, everyLoss(logits, safe, options), 0);
}

/** The scalar a model asks to be added to its loss; undefined where it asks for nothing. */
export function auxiliaryLoss(logits: Tensor): Tensor | undefined {
  return headOf(logits)?.auxiliary;
}

/**
 * Mean cross-entropy of each token given those before it, in nats: logits at t are held against the id at t + 1.
 * logits: [B, T, V]; ids: int32 [B, T]; result: scalar.
 *
 * @example
 * nextTokenLoss(zeros([1, 3, 4]), tensor([[3, 1, 2]], { dtype: "int32" })).item(); // 1.3862943611198906
 */
export function nextTokenLoss(logits: Tensor, ids: Tensor): Tensor {
  checkIds(ids);
  if (ids.shape[1]! < 2) throw new ShapeError("nextTokenLoss", `needs two tokens a row: received ${formatType(ids)}`);
  return crossEntropy(logits.slice(0, -1, { axis: 1 }), ids.slice(1, undefined, { axis: 1 })).mean();
}

/** Refuses what are no ids int32 [B, T]. */
export function checkIds(ids: Tensor): void {
  if (ids.dtype !== "int32") throw new DtypeError("ids", `expected int32[batch,time]: received ${formatType(ids)}`);
  if (ids.rank !== 2) throw new ShapeError("ids", `expected int32[batch,time]: received ${formatType(ids)}`);
}

function everyLoss(logits: Tensor, labels: Tensor, options: TokenLossOptions): Tensor {
  const { chunk } = options;
  if (chunk === undefined || chunk >= labels.size) return lossOfRows(logits, labels, options);
  if (!Number.isInteger(chunk) || chunk < 1)
    throw new ArgumentError("chunk", `is a count of tokens: received ${chunk}`);
  const head = headOf(logits);
  if (head === undefined) {
    throw new ArgumentError("chunk", "needs the logits as the model gave them: these were changed on the way", {
      hint: "hand over the result of model.call itself",
    });
  }
  const tokens = labels.size;
  const hidden = head.hidden.reshape([tokens, head.hidden.shape.at(-1)!]);
  const wanted = labels.reshape([tokens]);
  const lossOf = checkpoint((h: Tensor, y: Tensor): Tensor => lossOfRows(head.project(h), y, options));
  // Whole chunks as a loop, so that the gradient of the head is one array that grows turn by turn; then the rest.
  const count = Math.floor(tokens / chunk);
  const whole = count * chunk;
  const { ys } = scan((turn: Tensor, { h, y }: { h: Tensor; y: Tensor }) => [turn, lossOf(h, y)] as const, {
    init: zeros([]),
    xs: {
      h: hidden.slice(0, whole).reshape([count, chunk, hidden.shape[1]!]),
      y: wanted.slice(0, whole).reshape([count, chunk]),
    },
  });
  const parts = [ys.reshape([whole])];
  if (whole < tokens) parts.push(lossOf(hidden.slice(whole, tokens), wanted.slice(whole, tokens)));
  return concat(parts).reshape(labels.shape);
}

function lossOfRows(logits: Tensor, labels: Tensor, { labelSmoothing = 0, zLoss = 0 }: TokenLossOptions): Tensor {
  let loss = crossEntropy(logits, labels);
  if (labelSmoothing === 0 && zLoss === 0) return loss;
  const total = logSumExp(logits, { axis: -1 });
  if (labelSmoothing > 0) {
    const even = total.sub(logits.mean({ axis: -1 }));
    loss = loss.mul(1 - labelSmoothing).add(even.mul(labelSmoothing));
  }
  return zLoss > 0 ? loss.add(total.square().mul(zLoss)) : loss;
}
