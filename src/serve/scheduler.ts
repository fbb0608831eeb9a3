// Scheduler: continuous batching. One loop steps every running text by a token; texts join and leave between steps.
import { setImmediate } from "node:timers/promises";
import { ArgumentError, ChainruleError } from "../engine/core/index.ts";
import {
  best,
  Continuation,
  Decoder,
  logProbabilities,
  type ContinuationOptions,
  type Logits,
} from "../generate/index.ts";
import type { CausalLM } from "../models/index.ts";
import { Events, type PromptToken, type TextEvent } from "./events.ts";

/** One text that is asked for. */
export interface TextJob {
  readonly prompt: readonly number[];
  /** How it goes on; `maxTokens: 0` tells of the prompt only. */
  readonly options: ContinuationOptions;
  /** Tells log-probabilities of the prompt too, with so many of the most probable tokens in each place. */
  readonly promptLogprobs?: number;
}

export interface SchedulerOptions {
  /** Texts that run at the same time; 8 unless said. */
  readonly slots?: number;
  /** Texts that may wait for a slot; 256 unless said. */
  readonly queue?: number;
  /** Tokens a text may have, prompt included; the context of the model unless said. */
  readonly length?: number;
}

/** More texts than the queue takes: try again later. */
export class QueueFullError extends ChainruleError {}
/** The one who asked has left. */
export class CancelledError extends ChainruleError {}

/** A text that waits or runs. */
interface Text {
  readonly index: number;
  readonly job: TextJob;
  /** Undefined where the prompt alone is asked for. */
  readonly going: Continuation | undefined;
  readonly events: Events;
  readonly signal: AbortSignal | undefined;
  readonly told: PromptToken[];
  slot: number;
}

// Prompt tokens that enter the model between two steps: a long prompt does not hold up the others for longer than that.
const CHUNK = 128;

/**
 * Runs texts of several requests together over the slots of one decoder. Each text is the one `generate` gives for its
 * prompt and options: what runs beside it changes nothing but the rounding of products of another height.
 *
 * @example no-run
 * const scheduler = new Scheduler(model, { slots: 4 });
 * for await (const event of scheduler.submit([{ prompt: ids, options: { tokenizer, maxTokens: 20 } }])) console.log(event);
 */
export class Scheduler {
  /** Tokens a text may have. */
  readonly length: number;
  readonly #decoder: Decoder;
  readonly #queue: number;
  readonly #waiting: Text[] = [];
  readonly #running = new Set<Text>();
  readonly #free: number[];
  #loop: Promise<void> | undefined;
  #generated = 0;

  constructor(model: CausalLM, { slots = 8, queue = 256, length = model.contextLength }: SchedulerOptions = {}) {
    if (!Number.isInteger(queue) || queue < 0)
      throw new ArgumentError("queue", `must be a whole number ≥ 0: received ${queue}`);
    this.#decoder = new Decoder(model, { slots, length, chunk: CHUNK });
    this.#queue = queue;
    this.length = length;
    this.#free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  /** Texts under way, texts that wait, and tokens generated since the start. */
  get state(): { readonly running: number; readonly waiting: number; readonly generated: number } {
    return { running: this.#running.size, waiting: this.#waiting.length, generated: this.#generated };
  }

  /**
   * Adds texts, all of them or none, and tells what happens to them. They end at once when the signal aborts: a slot is
   * free again within a step. Errors: QueueFullError; ArgumentError for options and prompts that do not fit; while
   * reading, CancelledError after the signal.
   */
  submit(jobs: readonly TextJob[], signal?: AbortSignal): AsyncIterable<TextEvent> {
    const events = new Events(jobs.length);
    const texts = jobs.map((job, index) => this.#text(job, { index, events, signal }));
    if (this.#waiting.length + texts.length > this.#queue + this.#free.length) {
      const { running, waiting } = this.state;
      const received = `received ${texts.length} more`;
      throw new QueueFullError("queue", `is full: ${running} texts run, ${waiting} wait, ${received}`, {
        hint: "try again later",
      });
    }
    this.#waiting.push(...texts);
    this.#loop ??= this.#run();
    return events;
  }

  /** Waits until nothing runs or waits any more. */
  async idle(): Promise<void> {
    while (this.#loop !== undefined) await this.#loop;
  }

  #text(job: TextJob, rest: Pick<Text, "index" | "events" | "signal">): Text {
    const { prompt, options } = job;
    const { maxTokens = 1 } = options;
    const going = maxTokens === 0 ? undefined : new Continuation(prompt, options);
    // The last token is never put back in.
    const needed = prompt.length + Math.max(1, Number.isFinite(maxTokens) ? maxTokens : 1) - 1;
    if (prompt.length === 0 || needed > this.length) {
      throw new ArgumentError(
        "context",
        `a text has at most ${this.length} tokens: received a prompt of ${prompt.length} and ${maxTokens} to generate`,
        { hint: "shorten the prompt or ask for fewer tokens" },
      );
    }
    return { ...rest, job, going, told: [], slot: -1 };
  }

  async #run(): Promise<void> {
    try {
      while (this.#running.size + this.#waiting.length > 0) await this.#turn();
    } finally {
      // In the same breath as the last look at the queue: who comes later starts a loop of their own.
      this.#loop = undefined;
    }
  }

  async #turn(): Promise<void> {
    // Requests, and clients that leave, are heard between any two steps.
    await setImmediate();
    this.#dropCancelled();
    while (this.#free.length > 0 && this.#waiting.length > 0) {
      const text = this.#waiting.shift()!;
      text.slot = this.#free.pop()!;
      this.#running.add(text);
    }
    await this.#readPrompts();
    await this.#step();
  }

  #dropCancelled(): void {
    const gone = [...this.#running, ...this.#waiting].filter(({ signal }) => signal?.aborted === true);
    for (const text of gone) this.#fail(text, new CancelledError("request", "was cancelled"));
  }

  // Whether the whole prompt is in the cache. Prompts without a continuation leave when they are.
  #ready({ slot, job }: Text): boolean {
    return this.#decoder.filled(slot) >= job.prompt.length;
  }

  async #readPrompts(): Promise<void> {
    let left = CHUNK;
    for (const text of this.#running) {
      if (left <= 0) return;
      while (left > 0 && this.#running.has(text) && !this.#ready(text)) {
        const before = this.#decoder.filled(text.slot);
        await this.#guarded([text], () => this.#readPiece(text));
        left -= this.#running.has(text) ? this.#decoder.filled(text.slot) - before : 0;
      }
    }
  }

  async #readPiece(text: Text): Promise<void> {
    const { job, slot, told } = text;
    const from = this.#decoder.filled(slot);
    const rest = job.prompt.length - from;
    let logits: Logits;
    if (job.promptLogprobs === undefined) {
      logits = await this.#decoder.prefill(slot, job.prompt.slice(from, from + CHUNK));
    } else {
      // Pieces whose sizes are powers of two: eight plans serve prompts of every length.
      const size = Math.min(CHUNK, this.length, 2 ** Math.floor(Math.log2(rest)));
      const rows = await this.#decoder.extend(slot, job.prompt.slice(from, from + size));
      if (from === 0) told.push({ id: job.prompt[0]!, logprob: undefined, top: [] });
      rows.forEach((row, i) => {
        const next = job.prompt[from + i + 1];
        if (next !== undefined) told.push(promptToken(row, next, job.promptLogprobs!));
      });
      logits = rows.at(-1)!;
    }
    if (!this.#ready(text)) return;
    if (job.promptLogprobs !== undefined) text.events.push({ index: text.index, prompt: told });
    if (text.going === undefined) this.#leave(text);
    else this.#take(text, logits);
  }

  async #step(): Promise<void> {
    const stepping = [...this.#running].filter((text) => this.#ready(text));
    if (stepping.length === 0) return;
    await this.#guarded(stepping, async () => {
      const tokens = stepping.map(({ slot, going }) => ({ slot, id: going!.ids.at(-1)! }));
      // A few heights of the batch, so that a few plans serve every number of texts. What a filling row writes behind
      // the end of its slot is forgotten at once.
      const filling = this.#others(stepping, bucket(stepping.length, this.#decoder.slots) - stepping.length);
      const all = await this.#decoder.step([...tokens, ...filling.map(({ slot }) => ({ slot, id: 0 }))]);
      for (const { slot, filled } of filling) this.#decoder.rewind(slot, filled);
      for (const [i, text] of stepping.entries()) await this.#guarded([text], async () => this.#take(text, all[i]!));
    });
  }

  #others(stepping: readonly Text[], count: number): { readonly slot: number; readonly filled: number }[] {
    const taken = new Set(stepping.map(({ slot }) => slot));
    return Array.from({ length: this.#decoder.slots }, (_, slot) => ({ slot, filled: this.#decoder.filled(slot) }))
      .filter(({ slot, filled }) => !taken.has(slot) && filled < this.#decoder.length)
      .slice(0, count);
  }

  #take(text: Text, logits: Logits): void {
    const { index, events, slot } = text;
    const going = text.going!;
    const token = going.next(logits, { last: this.#decoder.filled(slot) >= this.length });
    this.#generated++;
    events.push({ index, token });
    if (token.finish !== undefined) this.#leave(text);
  }

  #leave(text: Text): void {
    this.#release(text);
    text.events.end();
  }

  #fail(text: Text, error: unknown): void {
    this.#release(text);
    text.events.fail(error);
  }

  #release(text: Text): void {
    if (this.#running.delete(text)) {
      this.#decoder.rewind(text.slot);
      this.#free.push(text.slot);
      return;
    }
    const at = this.#waiting.indexOf(text);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  // What goes wrong with some texts is told to those who wait for them; the others go on.
  async #guarded(texts: readonly Text[], work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      for (const text of texts) if (this.#running.has(text)) this.#fail(text, error);
    }
  }
}

function promptToken(logits: Logits, id: number, count: number): PromptToken {
  const ids = count === 0 ? [] : Array.from(best(logits, Math.min(count, logits.length)));
  const [logprob, ...others] = logProbabilities(logits, [id, ...ids]);
  return { id, logprob, top: ids.map((token, i) => ({ id: token, logprob: others[i]! })) };
}

/** 1, 2, 4, 8, then whole eights, at most `most`. */
function bucket(count: number, most: number): number {
  const width = count > 8 ? 8 * Math.ceil(count / 8) : 2 ** Math.ceil(Math.log2(count));
  return Math.min(width, most);
}
