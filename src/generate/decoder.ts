// Decoder: a language model with a cache of several rows, and the compiled plans that extend them.
import { ArgumentError, HostArray } from "../engine/core/index.ts";
import { jit, tensor, type Jitted, type Tensor } from "../engine/tensor/index.ts";
import type { Cache, CachedOutput, CausalLM } from "../models/index.ts";
import { inference, type NamedTensors } from "../learn/nn/index.ts";

/** How a decoder is made. */
export interface DecoderOptions {
  /** Rows that go on at the same time; 1 unless said. */
  readonly slots?: number;
  /** Tokens a row may have; the context of the model unless said. */
  readonly length?: number;
  /** Values of the weights by path; the model's own unless said. */
  readonly values?: NamedTensors;
  /** Most tokens of a prompt that go through the model in one call; 128 unless said. */
  readonly chunk?: number;
}

/** Logits of one token: float32 [V], owned by whoever receives them. */
export type Logits = Float32Array;

/** One token for one row. */
export interface RowToken {
  readonly slot: number;
  readonly id: number;
}

type Inputs = {
  readonly ids: Tensor;
  readonly position: Tensor;
  readonly rows: Tensor;
  readonly pick: Tensor | undefined;
};
type Forward = Jitted<[NamedTensors, Inputs, Cache], CachedOutput>;

/**
 * The rows of a model under generation. Each slot is one text: `prefill` begins it, `step` adds a token to some or all
 * slots, `rewind` forgets its last tokens. A slot's length is a number here; the plans take it as an input, so that one
 * plan serves every place, and the cache is updated in place.
 * Calls must not overlap: wait for one before the next.
 *
 * @example
 * const lm = createModel(presets["shakespeare-tiny"]!).init(0, { dtype: "int32", shape: [1, 1] });
 * const decoder = new Decoder(lm, { slots: 2 });
 * let logits = await decoder.prefill(0, [1, 5, 9]);
 * [logits] = await decoder.step([{ slot: 0, id: 7 }]);
 */
export class Decoder {
  readonly model: CausalLM;
  readonly slots: number;
  /** Tokens a row may have. */
  readonly length: number;
  readonly #values: NamedTensors;
  readonly #chunk: number;
  readonly #filled: number[];
  readonly #forward: Forward;
  #cache: Cache;
  #busy = false;

  constructor(model: CausalLM, { slots = 1, length = model.contextLength, values, chunk = 128 }: DecoderOptions = {}) {
    const whole = (name: string, value: number, most: number): void => {
      if (!Number.isInteger(value) || value < 1 || value > most)
        throw new ArgumentError(name, `must be a whole number from 1 to ${most}: received ${value}`);
    };
    whole("slots", slots, 2 ** 20);
    whole("length", length, model.contextLength);
    whole("chunk", chunk, 2 ** 20);
    this.model = model;
    this.slots = slots;
    this.length = length;
    this.#chunk = Math.min(chunk, length);
    this.#values = values ?? model.tensors();
    this.#filled = new Array<number>(slots).fill(0);
    // A chunk with padding behind its last token may reach past the last place.
    this.#cache = model.cache(slots, length + this.#chunk);
    this.#forward = jit(
      (all: NamedTensors, inputs: Inputs, cache: Cache) =>
        model.pure(all, { ...inputs, cache }, inference).output as CachedOutput,
      { donate: [2] },
    );
  }

  /** Tokens in a slot. */
  filled(slot: number): number {
    this.#expectSlot(slot);
    return this.#filled[slot]!;
  }

  /** Forgets what a slot holds behind its first `length` tokens; 0 makes it free. Nothing is computed. */
  rewind(slot: number, length: number = 0): void {
    if (!Number.isInteger(length) || length < 0 || length > this.filled(slot))
      throw new ArgumentError("rewind", `slot ${slot} holds ${this.#filled[slot]} tokens: received ${length}`);
    this.#filled[slot] = length;
  }

  /** Adds tokens to a slot, behind what it holds; the logits of the token after the last one. */
  async prefill(slot: number, ids: ArrayLike<number>): Promise<Logits> {
    if (ids.length === 0) throw new ArgumentError("prefill", "needs at least one token: received none");
    this.#expectRoom(slot, ids.length);
    let from = 0;
    for (; ids.length - from > this.#chunk; from += this.#chunk)
      await this.#extend(slot, part(ids, from, from + this.#chunk), { width: this.#chunk });
    const rest = part(ids, from, ids.length);
    const logits = await this.#extend(slot, rest, { width: bucket(rest.length, this.#chunk) });
    return read(logits);
  }

  /** Adds tokens to a slot; the logits behind each of them, one row a token. For checking a guess of several tokens. */
  async extend(slot: number, ids: ArrayLike<number>): Promise<Logits[]> {
    if (ids.length === 0 || ids.length > this.#chunk)
      throw new ArgumentError("extend", `takes 1 to ${this.#chunk} tokens: received ${ids.length}`);
    this.#expectRoom(slot, ids.length);
    const logits = await this.#extend(slot, part(ids, 0, ids.length), { width: ids.length, every: true });
    return rowsOf(read(logits), ids.length);
  }

  /** Adds one token to each of some slots; the logits of the next token of each, in their order. */
  async step(tokens: readonly RowToken[]): Promise<Logits[]> {
    if (tokens.length === 0) throw new ArgumentError("step", "needs at least one token: received none");
    if (new Set(tokens.map(({ slot }) => slot)).size !== tokens.length)
      throw new ArgumentError("step", "takes one token a slot: a slot was named twice");
    for (const { slot } of tokens) this.#expectRoom(slot, 1);
    const slots = tokens.map(({ slot }) => slot);
    const logits = await this.#run(slots, { ids: tokens.map(({ id }) => [id]), pick: undefined, added: 1 });
    return rowsOf(read(logits), tokens.length);
  }

  #extend(
    slot: number,
    ids: number[],
    { width, every = false }: { readonly width: number; readonly every?: boolean },
  ): Promise<Tensor> {
    const padded = [...ids, ...new Array<number>(width - ids.length).fill(0)];
    return this.#run([slot], { ids: [padded], pick: every ? undefined : ids.length - 1, added: ids.length });
  }

  async #run(
    slots: readonly number[],
    {
      ids,
      pick,
      added,
    }: { readonly ids: readonly number[][]; readonly pick: number | undefined; readonly added: number },
  ): Promise<Tensor> {
    if (this.#busy) throw new ArgumentError("decoder", "is in another call: wait for it first");
    for (const id of ids.flat()) {
      if (!Number.isInteger(id) || id < 0 || id >= this.model.vocabSize)
        throw new ArgumentError("ids", `token ${id} is out of range [0, ${this.model.vocabSize})`);
    }
    const ints = (values: readonly number[], shape: readonly number[]): Tensor =>
      tensor(new HostArray("int32", shape, Int32Array.from(values)), { dtype: "int32" });
    const batch = slots.length;
    const inputs: Inputs = {
      ids: ints(ids.flat(), [batch, ids[0]!.length]),
      position: ints(
        slots.map((slot) => this.#filled[slot]!),
        [batch],
      ),
      rows: ints(slots, [batch]),
      pick: pick === undefined ? undefined : ints([pick], [batch]),
    };
    this.#busy = true;
    try {
      const { logits, cache } = await this.#forward.run(this.#values, inputs, this.#cache);
      this.#cache = cache;
      for (const slot of slots) this.#filled[slot]! += added;
      return logits;
    } finally {
      this.#busy = false;
    }
  }

  #expectSlot(slot: number): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.slots)
      throw new ArgumentError("slot", `must be from 0 to ${this.slots - 1}: received ${slot}`);
  }

  #expectRoom(slot: number, count: number): void {
    const held = this.filled(slot);
    if (held + count <= this.length) return;
    throw new ArgumentError(
      "context",
      `a row has ${this.length} places, ${held} are filled: received ${count} more tokens`,
      { hint: 'shorten the prompt, ask for fewer tokens, or generate with `overflow: "slide"`' },
    );
  }
}

// Chunks are padded to a few widths, so that a few plans serve every length.
function bucket(count: number, most: number): number {
  let width = 1;
  while (width < count) width *= 2;
  return Math.min(width, most);
}

function part(ids: ArrayLike<number>, from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => ids[from + i]!);
}

function read(logits: Tensor): Float32Array {
  const { data } = logits.host();
  return data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>);
}

function rowsOf(all: Float32Array, count: number): Float32Array[] {
  const size = all.length / count;
  return Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
}
