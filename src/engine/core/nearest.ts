// The nearest of some names: what somebody may have meant.

/**
 * The name with the fewest letters to insert, delete or exchange; undefined where all are too different to be meant.
 *
 * @example
 * nearestName("bacth", ["batch", "steps"]); // "batch"
 */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map((one) => [distance(one.toLowerCase(), name.toLowerCase()), one] as const)
    .sort((a, b) => a[0] - b[0]);
  return best !== undefined && best[0] <= Math.max(1, Math.min(3, Math.floor(name.length / 2))) ? best[1] : undefined;
}

// Levenshtein's distance.
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length]!;
}
