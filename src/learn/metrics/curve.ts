// Cumulated positives and negatives by falling threshold, and the areas under the two curves drawn from them.

/** One point per distinct score, highest first: the weight of positives and negatives at or above it. */
export interface Points {
  readonly truePositives: readonly number[];
  readonly falsePositives: readonly number[];
  readonly thresholds: readonly number[];
}

/** The points for scores, answers and weights. The order of the samples does not matter, not even for the last bit. */
export function curve(score: readonly number[], positive: readonly boolean[], weight: readonly number[]): Points {
  const order = Uint32Array.from(score, (_, i) => i);
  order.sort((a, b) => score[b]! - score[a]! || Number(positive[a]) - Number(positive[b]) || weight[a]! - weight[b]!);
  const truePositives: number[] = [];
  const falsePositives: number[] = [];
  const thresholds: number[] = [];
  let tp = 0;
  let fp = 0;
  for (let k = 0; k < order.length; k++) {
    const i = order[k]!;
    if (positive[i] === true) tp += weight[i]!;
    else fp += weight[i]!;
    const next = order[k + 1];
    if (next !== undefined && score[next] === score[i]) continue;
    truePositives.push(tp);
    falsePositives.push(fp);
    thresholds.push(score[i]!);
  }
  return { truePositives, falsePositives, thresholds };
}

/** Area under the ROC curve by trapezoids; NaN without positives or without negatives. */
export function area({ truePositives: tp, falsePositives: fp }: Points): number {
  let sum = 0;
  for (let i = 0; i < tp.length; i++) sum += (fp[i]! - (fp[i - 1] ?? 0)) * (tp[i]! + (tp[i - 1] ?? 0));
  return sum / (2 * fp.at(-1)! * tp.at(-1)!);
}

/** Average precision; 0 without positives. */
export function averageOf({ truePositives: tp, falsePositives: fp }: Points): number {
  const positives = tp.at(-1)!;
  if (positives === 0) return 0;
  let sum = 0;
  for (let i = 0; i < tp.length; i++) sum += ((tp[i]! - (tp[i - 1] ?? 0)) * tp[i]!) / (tp[i]! + fp[i]!);
  return sum / positives;
}
