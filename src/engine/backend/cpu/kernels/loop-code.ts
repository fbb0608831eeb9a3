// From the values of a loop program to the words the kernel runs: an order in which most results stay in its accumulator.
import type { LowerTarget } from "./lowering.ts";

/** Streams by the size of their elements: four bytes, one, or two. In the order of the kernel. */
export type StreamKind = "word" | "byte" | "half";
const STREAM_KINDS: readonly StreamKind[] = ["word", "byte", "half"];
const isStream = (node: LoopNode): node is Extract<LoopNode, { kind: StreamKind }> =>
  node.kind === "word" || node.kind === "byte" || node.kind === "half";

/** A value: an operand as it lies, one number, an operand read by index, or the result of an instruction. */
export type LoopNode =
  | { readonly kind: StreamKind; readonly operand: number }
  | { readonly kind: "constant"; readonly name: string; readonly word: number }
  | {
      /** By index: element `⌊index / inner⌋ mod period` of the operand, or words drawn from it as a key. */
      readonly kind: "repeat";
      readonly name: string;
      readonly operand: number;
      readonly inner: number;
      readonly period: number;
    }
  | { readonly kind: "op"; readonly name: string; readonly sources: readonly number[] };

/** An output and the node whose value it is. */
export interface LoopStore {
  readonly output: number;
  readonly node: number;
  readonly kind: StreamKind;
  /** Whether it takes no input's memory. */
  readonly own: boolean;
}

/** An instruction with its operands as nodes; `a` is undefined where the accumulator holds it already. */
interface Step {
  readonly name: string;
  readonly a: number | undefined;
  readonly rest: readonly number[];
  /** The node whose value the accumulator holds then. */
  readonly result: number;
  /** Outputs written from the accumulator. */
  readonly stores: LoopStore[];
}

/** A program in the order in which it runs. */
export interface Arranged {
  readonly steps: readonly Step[];
  /** Pairs [output, input operand] that may share memory. */
  readonly inplace: readonly (readonly [number, number])[];
}

// The same with the operands of a comparison or of an inverse exchanged.
const exchanged: { readonly [name: string]: string } = {
  sub: "subFrom",
  subInt: "subIntFrom",
  div: "divInto",
  ...Object.fromEntries(
    "add mul maximum minimum equal notEqual".split(" ").flatMap((name) => [
      [name, name],
      [`${name}Int`, `${name}Int`],
    ]),
  ),
  ...Object.fromEntries(
    ["", "Int", "Uint"].flatMap((type) =>
      ["", "Equal"].flatMap((equal) => [
        [`less${equal}${type}`, `greater${equal}${type}`],
        [`greater${equal}${type}`, `less${equal}${type}`],
      ]),
    ),
  ),
  logicalAnd: "logicalAnd",
  logicalOr: "logicalOr",
};

// How an instruction is written when its source number `held` is in the accumulator.
function form(name: string, sources: readonly number[], held: number): { name: string; rest: number[] } | undefined {
  const rest = sources.filter((_, i) => i !== held);
  if (held === 0) return { name, rest };
  if (name === "select") return { name: held === 1 ? "selectThen" : "selectElse", rest };
  const other = exchanged[name];
  return other === undefined ? undefined : { name: other, rest };
}

/** Puts what the outputs need in order, depth first; `whole` tells which operands an output could take the memory of. */
export function arrange(
  nodes: readonly LoopNode[],
  stores: readonly LoopStore[],
  whole: (operand: number) => boolean,
): Arranged {
  const steps: Step[] = [];
  const written = new Map<number, Step>();
  let held: number | undefined; // what the accumulator holds

  const write = (at: number): void => {
    const node = nodes[at]!;
    if (node.kind !== "op" || written.has(at)) return;
    for (const source of node.sources) write(source);
    const { name, sources } = node;
    let step: Step;
    if (name === "loadBool" || name === "loadHalf")
      step = { name, a: undefined, rest: sources, result: at, stores: [] };
    else {
      const position = held === undefined ? -1 : sources.indexOf(held);
      const written = position < 0 ? undefined : form(name, sources, position);
      if (written !== undefined) step = { ...written, a: undefined, result: at, stores: [] };
      else step = { name, a: sources[0]!, rest: sources.slice(1), result: at, stores: [] };
    }
    steps.push(step);
    written.set(at, step);
    held = at;
  };
  for (const store of stores) {
    write(store.node);
    written.get(store.node)?.stores.push(store);
  }
  // Outputs that are no results of instructions: moved.
  for (const store of stores) {
    if (nodes[store.node]!.kind !== "op")
      steps.push({ name: "move", a: store.node, rest: [], result: store.node, stores: [store] });
  }

  const lastRead = new Map<number, number>(); // by operand
  steps.forEach(({ a, rest }, time) => {
    for (const source of [...(a === undefined ? [] : [a]), ...rest]) {
      const node = nodes[source]!;
      if (isStream(node) && whole(node.operand)) lastRead.set(node.operand, time);
    }
  });
  // What is read by index or as one element shares nothing.
  const shared = new Set(
    nodes.flatMap((node) =>
      node.kind === "repeat" || (node.kind === "constant" && node.name !== "immediate")
        ? [node.kind === "repeat" ? node.operand : node.word]
        : [],
    ),
  );
  const candidates = nodes.flatMap((node) =>
    isStream(node) && whole(node.operand) && !shared.has(node.operand) ? [node] : [],
  );
  const inplace: (readonly [number, number])[] = [];
  const late: Step[] = [];
  steps.forEach((step, time) => {
    for (const store of step.stores.slice()) {
      const fitting = candidates.filter(({ kind }) => !store.own && kind === store.kind);
      const free = fitting.filter(({ operand }) => (lastRead.get(operand) ?? -1) <= time);
      // Where every place it could take is still read later, it is written at the end.
      if (fitting.length > 0 && free.length === 0) {
        step.stores.splice(step.stores.indexOf(store), 1);
        late.push({ name: "move", a: step.result, rest: [], result: step.result, stores: [store] });
      }
      for (const { operand } of free.length > 0 ? free : fitting) inplace.push([store.output, operand]);
    }
  });
  return { steps: [...steps, ...late], inplace };
}

interface Encoding {
  readonly size: number;
  /** Operands that are inputs; those of the outputs follow. */
  readonly reads: number;
  readonly target: LowerTarget;
}

/** The words of native/loop.hpp. */
export function encode(nodes: readonly LoopNode[], { steps }: Arranged, { size, reads, target }: Encoding): number[] {
  const all = steps.flatMap(({ stores }) => stores);
  const used = new Set(steps.flatMap(({ a, rest }) => [...(a === undefined ? [] : [a]), ...rest]));
  const place = new Map<number, number>(); // registers of nodes
  const outputs = new Map<number, number>(); // registers of outputs
  const streams: number[] = [];
  let count = 0;
  const widths = STREAM_KINDS.map((kind) => {
    const before = streams.length;
    nodes.forEach((node, at) => {
      if (!isStream(node) || node.kind !== kind || !used.has(at)) return;
      streams.push(node.operand);
      place.set(at, count++);
    });
    for (const store of all) {
      if (store.kind !== kind) continue;
      streams.push(reads + store.output);
      outputs.set(store.output, count++);
    }
    return streams.length - before;
  });
  const constants: number[] = [];
  const repeats: number[] = [];
  for (const kind of ["constant", "repeat"] as const) {
    nodes.forEach((node, at) => {
      if (node.kind !== kind || !used.has(at)) return;
      if (node.kind === "constant") constants.push(target.loopOp(node.name), node.word);
      else if (node.kind === "repeat") repeats.push(target.loopOp(node.name), node.operand, node.inner, node.period);
      place.set(at, count++);
    });
  }

  // Results that are read again lie in the memory of an output, or in a register that is free after its last reader.
  const lastReader = new Map<number, number>();
  steps.forEach(({ a, rest }, time) => {
    for (const source of [...(a === undefined ? [] : [a]), ...rest]) lastReader.set(source, time);
  });
  const free: number[] = [];
  const borrowed = new Set<number>();
  const code: number[] = [];
  const instruction = (name: string, dst: number, a: number, rest: readonly number[] = []): void =>
    void code.push(target.loopOp(name), dst, a, rest[0] ?? 0, rest[1] ?? 0);
  steps.forEach(({ name, a, rest, result, stores }, time) => {
    const operands = rest.map((source) => place.get(source)!);
    const from = a === undefined ? -1 : place.get(a)!;
    const wide = stores.filter(({ kind }) => kind === "word").map(({ output }) => outputs.get(output)!);
    let dst = wide.shift();
    if (!place.has(result) && (lastReader.get(result) ?? -1) > time) {
      if (dst === undefined) borrowed.add((dst = free.pop() ?? count++));
      place.set(result, dst);
    }
    instruction(name, dst ?? -1, from, operands);
    for (const register of wide) instruction("move", register, -1);
    for (const { output, kind } of stores) {
      if (kind !== "word") instruction(kind === "byte" ? "storeBool" : "storeHalf", -1, -1, [outputs.get(output)!]);
    }
    for (const source of new Set([...(a === undefined ? [] : [a]), ...rest])) {
      const register = place.get(source)!;
      if (borrowed.has(register) && lastReader.get(source) === time) {
        borrowed.delete(register);
        free.push(register);
      }
    }
  });
  const head = [
    size,
    Math.max(1, count),
    widths[0]!,
    widths[1]!,
    reads,
    constants.length / 2,
    repeats.length / 4,
    code.length / 5,
    widths[2]!,
  ];
  return [...head, ...streams, ...constants, ...repeats, ...code];
}
