// remake: cheap element-wise values that are read again much later are computed again there, where that keeps less in memory.
import { bufferBytes } from "../../plan/index.ts";
import { resume, type Equation, type Program, type Value } from "../../program/index.ts";
import type { Target } from "../target.ts";
import { dce } from "./dce.ts";

/** Fewer bytes saved than this stay in the cache: keeping them costs nothing. */
const MIN_SAVED = 1 << 16;

/**
 * Between two pieces of work (equations that cannot be fused) lies a stretch of element-wise ones. What a stretch makes
 * and another reads is kept in between, unless the other can make it from fewer bytes: of gelu's four intermediates the
 * gradient then keeps the one they all come from. The values are the same bits: the same ops on the same numbers.
 */
export function remake(program: Program, target: Target): Program {
  const { fusible } = target;
  if (fusible === undefined) return program;
  const { equations } = program;
  const stretches: number[] = [];
  const cheap: boolean[] = [];
  const makers = new Map<Value, number>();
  let stretch = 0;
  equations.forEach((equation, i) => {
    const { op, attrs, inputs, outputs } = equation;
    const fused = fusible.call(target, { op, attrs, inputs, outputs });
    const work = !fused && op.traits.kind !== "create";
    if (work) stretch++;
    stretches.push(stretch);
    cheap.push(!work && outputs.length === 1 && op.traits.recompute === "cheap" && op.traits.opaque !== true);
    if (work) stretch++;
    for (const output of outputs) makers.set(output, i);
  });
  const uses = readings(program, stretches);
  const made = new Map<Value, number>();
  for (const [from, into] of pairs(equations, { stretches, cheap, uses }))
    for (const value of cheapestCut(from, into, { equations, stretches, cheap, makers, uses })) made.set(value, into);
  // A first making that nobody reads any more is dropped.
  return made.size === 0 ? program : dce(written(program, { stretches, makers, made }));
}

/** Where a value is read: its stretches, in order. A result of the program is read for ever. */
type Uses = ReadonlyMap<Value, readonly number[]>;

interface Stretches {
  readonly equations: readonly Equation[];
  /** Of each equation; work is a stretch of its own. */
  readonly stretches: readonly number[];
  /** Whether an equation may be computed twice. */
  readonly cheap: readonly boolean[];
  readonly makers: ReadonlyMap<Value, number>;
  readonly uses: Uses;
}

function readings(program: Program, stretches: readonly number[]): Uses {
  const uses = new Map<Value, number[]>();
  const use = (value: Value, stretch: number): void => {
    const list = uses.get(value);
    if (list === undefined) uses.set(value, [stretch]);
    else if (list.at(-1) !== stretch) list.push(stretch);
  };
  program.equations.forEach(({ inputs }, i) => inputs.forEach((value) => use(value, stretches[i]!)));
  program.outputs.forEach((value) => use(value, Infinity));
  return uses;
}

// Work has odd numbers: it is counted before and after.
const isWork = (stretch: number): boolean => stretch % 2 === 1;

// The one stretch of element-wise equations that reads a value later; undefined where work, or another one, reads it too.
function laterReader(value: Value, own: number, uses: Uses): number | undefined {
  const list = uses.get(value) ?? [];
  const later = list.at(-1) ?? own;
  return later > own && later !== Infinity && !isWork(later) && !(list.at(-2)! > own) ? later : undefined;
}

// What each stretch makes for one later stretch alone.
function pairs(
  equations: readonly Equation[],
  { stretches, cheap, uses }: Pick<Stretches, "stretches" | "cheap" | "uses">,
): Iterable<readonly [readonly Value[], number]> {
  const found = new Map<string, readonly [Value[], number]>();
  equations.forEach(({ outputs: [output] }, i) => {
    if (!cheap[i]!) return;
    const into = laterReader(output!, stretches[i]!, uses);
    if (into === undefined) return;
    const key = `${stretches[i]} ${into}`;
    const pair = found.get(key);
    if (pair === undefined) found.set(key, [[output!], into]);
    else pair[0].push(output!);
  });
  return found.values();
}

// What to make again in stretch `into`, so that least is kept for it: makers are followed back from the last one, each
// step gives up one value and keeps what it is made of instead; the step with the fewest bytes wins, the earliest of equals.
function cheapestCut(kept: readonly Value[], into: number, of: Stretches): readonly Value[] {
  const { equations, stretches, cheap, makers, uses } = of;
  const own = stretches[makers.get(kept[0]!)!]!;
  const frontier = new Set(kept);
  const again: Value[] = [];
  let bytes = kept.reduce((sum, value) => sum + bufferBytes(value), 0);
  let best = { bytes: bytes - MIN_SAVED, count: 0 };
  // Costs nothing more: it is there then anyway, or is made from nothing.
  const there = (value: Value): boolean => {
    const maker = makers.get(value);
    if (maker !== undefined && equations[maker]!.op.traits.kind === "create") return true;
    return !frontier.has(value) && (uses.get(value)?.at(-1) ?? 0) >= into;
  };
  for (;;) {
    let last = -1;
    for (const value of frontier) last = Math.max(last, makers.get(value) ?? -1);
    if (last < 0 || !cheap[last]! || stretches[last] !== own) break;
    const value = equations[last]!.outputs[0]!;
    frontier.delete(value);
    again.push(value);
    bytes -= bufferBytes(value);
    for (const input of equations[last]!.inputs) {
      if (frontier.has(input) || there(input)) continue;
      frontier.add(input);
      bytes += bufferBytes(input);
    }
    if (bytes <= best.bytes) best = { bytes: bytes - 1, count: again.length };
  }
  return again.slice(0, best.count);
}

function written(
  program: Program,
  {
    stretches,
    makers,
    made,
  }: Pick<Stretches, "stretches" | "makers"> & {
    /** Values that are made again, with the stretch in which. */
    readonly made: ReadonlyMap<Value, number>;
  },
): Program {
  return resume(program, (builder) => {
    const second = new Map<Value, Value>();
    const read = (value: Value, stretch: number): Value => {
      if (made.get(value) !== stretch) return value;
      const known = second.get(value);
      if (known !== undefined) return known;
      const { op, inputs, attrs } = program.equations[makers.get(value)!]!;
      const [copy] = builder.emit(
        op,
        inputs.map((input) => read(input, stretch)),
        attrs,
      );
      second.set(value, copy!);
      return copy!;
    };
    program.equations.forEach((equation, i) => {
      const inputs = equation.inputs.map((value) => read(value, stretches[i]!));
      const same = inputs.every((value, k) => value === equation.inputs[k]);
      builder.equations.push(same ? equation : { ...equation, inputs });
    });
    return program.outputs;
  });
}
