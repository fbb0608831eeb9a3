// Many streams, a full queue, clients that leave, and the end of the server.
import { setTimeout as wait } from "node:timers/promises";
import { queryObjects } from "node:v8";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generate } from "../../src/generate/index.ts";
import { openModel, type OpenModel } from "../../src/models/index.ts";
import { QueueFullError, Scheduler, serve, type ModelServer } from "../../src/serve/index.ts";
import { tinyConfig, tinyFolder } from "./tiny-folder.ts";

let opened: OpenModel;
let remove: () => Promise<void>;
beforeAll(async () => {
  // A context that takes a while to fill.
  const made = await tinyFolder({}, { ...tinyConfig, max_position_embeddings: 4096 });
  remove = made.remove;
  opened = await openModel(made.folder);
});
afterAll(() => remove());

const clientOf = ({ url }: ModelServer): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const endless = { model: "tiny", prompt: "a", max_tokens: 4000, stream: true } as const;

async function until(fits: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !fits();) {
    if (Date.now() > end) throw new Error("it did not happen within ten seconds");
    await wait(5);
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

describe("a server", () => {
  it("frees the slot of a client that leaves, whether it runs or waits", async () => {
    const server = await serve(opened, { port: 0, slots: 2 });
    const client = clientOf(server);
    const streams = await Promise.all([0, 1, 2].map(() => client.completions.create(endless)));
    await until(() => server.state.running === 2 && server.state.waiting === 1);
    streams[2]!.controller.abort();
    await until(() => server.state.waiting === 0);
    streams[0]!.controller.abort();
    await until(() => server.state.running === 1);
    const before = server.state.generated;
    const whole = new AbortController();
    const asked = client.completions.create({ ...endless, stream: false }, { signal: whole.signal });
    await until(() => server.state.running === 2 && server.state.generated > before + 10);
    whole.abort();
    await expect(asked).rejects.toThrow("aborted");
    streams[1]!.controller.abort();
    await until(() => server.state.running === 0);
    const { generated } = server.state;
    await wait(30);
    expect(server.state.generated).toBe(generated);
    await server.close();
  });

  it("says 429 while its queue is full, and takes requests again afterwards", async () => {
    const server = await serve(opened, { port: 0, slots: 1, queue: 1 });
    const client = clientOf(server);
    const streams = [await client.completions.create(endless)];
    await until(() => server.state.running === 1);
    streams.push(await client.completions.create(endless));
    await expect(client.completions.create(endless)).rejects.toMatchObject({ status: 429, code: "queue_full" });
    for (const { controller } of streams) controller.abort();
    await until(() => server.state.running + server.state.waiting === 0);
    expect((await client.completions.create({ ...endless, stream: false, max_tokens: 2 })).choices).toHaveLength(1);
    await server.close();
  });

  it("ends when the texts under way have ended, or at once", async () => {
    const server = await serve(opened, { port: 0 });
    const client = clientOf(server);
    const stream = await client.completions.create({ ...endless, max_tokens: 300 });
    await until(() => server.state.running === 1);
    let tokens = 0;
    let finish: string | null = null;
    const read = (async (): Promise<void> => {
      for await (const { choices } of stream) {
        tokens++;
        finish = choices[0]!.finish_reason;
      }
    })();
    await server.close();
    await read;
    expect({ finish }).toEqual({ finish: "length" });
    expect(tokens).toBeGreaterThan(200); // special tokens have no piece
    await expect(client.models.list()).rejects.toThrow();

    const other = await serve(opened, { port: 0 });
    await clientOf(other).completions.create(endless);
    await until(() => other.state.running === 1);
    await other.close({ now: true });
    expect(other.state.running).toBe(0);
  });

  it("keeps nothing of a request that is over", async () => {
    const server = await serve(opened, { port: 0, slots: 2, queue: 0 });
    const client = clientOf(server);
    const some = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        const stream = await client.completions.create({ ...endless, max_tokens: 2 });
        for await (const _ of stream);
        await client.completions.create({ ...endless, stream: false, max_tokens: 2 });
        await expect(client.completions.create({ ...endless, n: 3, stream: false })).rejects.toThrow("is full");
      }
    };
    await some(5);
    // Collects first, and counts what is still reachable.
    const before = queryObjects(AbortController, { format: "count" });
    await some(50);
    expect(queryObjects(AbortController, { format: "count" })).toBeLessThan(before + 20);
    await server.close();
  });

  // The long version is `npm run bench -- serve`.
  it("gives sixteen clients the same greedy texts for ten seconds", async () => {
    const server = await serve(opened, { port: 0, slots: 8 });
    const client = clientOf(server);
    const prompts = ["All the world", "Brevity", "Cowards die many times", "Double, double"];
    const wanted: string[] = [];
    for (const prompt of prompts) {
      let text = "";
      const { model, tokenizer } = opened;
      const options = { tokenizer, temperature: 0, maxTokens: 60 };
      for await (const token of generate(model, tokenizer.encode(prompt), options)) text += token.text;
      wanted.push(text);
    }
    const end = Date.now() + 10_000;
    let requests = 0;
    await Promise.all(
      Array.from({ length: 16 }, async (_, client_) => {
        for (let i = client_; Date.now() < end; i++) {
          const at = i % prompts.length;
          const options = {
            model: "tiny",
            prompt: prompts[at]!,
            temperature: 0,
            max_tokens: 60,
            stream: true,
          } as const;
          let text = "";
          for await (const { choices } of await client.completions.create(options)) text += choices[0]!.text;
          expect(text).toBe(wanted[at]);
          requests++;
        }
      }),
    );
    expect(requests).toBeGreaterThan(32);
    expect(server.state).toMatchObject({ running: 0, waiting: 0 });
    await server.close();
  });
});

describe("a scheduler", () => {
  it("refuses more than its queue takes, all or none, and goes on beside a text that fails", async () => {
    const scheduler = new Scheduler(opened.model, { slots: 1, queue: 1 });
    const { tokenizer } = opened;
    const job = { prompt: [5], options: { tokenizer, maxTokens: 3 } };
    expect(() => scheduler.submit([job, job, job])).toThrow(QueueFullError);
    expect(scheduler.state.waiting).toBe(0);
    const good = scheduler.submit([job]);
    const bad = scheduler.submit([{ prompt: [100_000], options: { maxTokens: 3 } }]);
    await expect(all(bad)).rejects.toThrow("out of range");
    expect(await all(good)).toHaveLength(3);
    await scheduler.idle();
  });

  it("takes up work that comes the moment it has run out of it", async () => {
    const scheduler = new Scheduler(opened.model, { slots: 1, queue: 0 });
    const job = { prompt: [5], options: { maxTokens: 2 } };
    for (let pause = 0; pause < 40; pause++) {
      expect(await all(scheduler.submit([job]))).toHaveLength(2);
      for (let i = 0; i < pause; i++) await Promise.resolve();
    }
    await scheduler.idle();
  });
});
