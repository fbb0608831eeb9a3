// The server through the official client: what it says is what the API promises, and its texts are those of `generate`.
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generate, type GenerateOptions } from "../../src/generate/index.ts";
import { openModel, type OpenModel } from "../../src/models/index.ts";
import { serve, type ModelServer } from "../../src/serve/index.ts";
import { context, tinyConfig, tinyFolder } from "./tiny-folder.ts";

let opened: OpenModel;
let server: ModelServer;
let client: OpenAI;
let remove: () => Promise<void>;

beforeAll(async () => {
  const made = await tinyFolder();
  remove = made.remove;
  opened = await openModel(made.folder);
  server = await serve(opened, { port: 0, slots: 4, queue: 12 });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await remove();
});

async function alone(prompt: string, options: GenerateOptions): Promise<{ text: string; tokens: number }> {
  let text = "";
  let tokens = 0;
  const { model, tokenizer } = opened;
  for await (const token of generate(model, tokenizer.encode(prompt), { tokenizer, ...options })) {
    text += token.text;
    tokens++;
  }
  return { text, tokens };
}

const model = "tiny";
const greedy = { model, temperature: 0 };

describe("models", () => {
  it("are listed and found", async () => {
    const list = await client.models.list();
    expect(list.data.map(({ id }) => id)).toEqual(["tiny"]);
    expect(await client.models.retrieve("tiny")).toMatchObject({ id: "tiny", object: "model" });
    await expect(client.models.retrieve("other")).rejects.toMatchObject({ status: 404, code: "model_not_found" });
  });
});

describe("completions", () => {
  it("are greedily those of generate, whole and streamed", async () => {
    const prompt = "To be, or not";
    const wanted = await alone(prompt, { temperature: 0, maxTokens: 40 });
    const whole = await client.completions.create({ ...greedy, prompt, max_tokens: 40 });
    expect(whole).toMatchObject({
      object: "text_completion",
      model,
      choices: [{ index: 0, text: wanted.text, finish_reason: "length", logprobs: null }],
      usage: { prompt_tokens: 13, completion_tokens: 40, total_tokens: 53 },
    });
    expect(whole.id).toMatch(/^cmpl-[0-9a-f]{32}$/);
    expect(Math.abs(whole.created - Date.now() / 1000)).toBeLessThan(60);
    const stream = await client.completions.create({
      ...greedy,
      prompt,
      max_tokens: 40,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    const ids = new Set<string>();
    const finish: (string | null)[] = [];
    let usage: unknown;
    for await (const chunk of stream) {
      ids.add(chunk.id);
      usage = chunk.usage;
      for (const choice of chunk.choices) {
        text += choice.text;
        finish.push(choice.finish_reason);
      }
    }
    expect(text).toBe(wanted.text);
    expect(ids.size).toBe(1);
    expect(finish.filter((one) => one !== null)).toEqual(["length"]);
    expect(usage).toEqual({ prompt_tokens: 13, completion_tokens: 40, total_tokens: 53 });
  });

  it("of many requests side by side are the texts alone", async () => {
    const prompts = Array.from({ length: 14 }, (_, i) => "What's past is prologue".slice(0, 3 + i) + i);
    const options = (i: number): GenerateOptions => ({ temperature: i % 2, maxTokens: 5 + 3 * i, seed: i });
    const texts = await Promise.all(
      prompts.map(async (prompt, i) => {
        const { temperature, maxTokens, seed } = options(i) as Required<GenerateOptions>;
        const made = await client.completions.create({ model, prompt, temperature, max_tokens: maxTokens, seed });
        return made.choices[0]!.text;
      }),
    );
    const wanted: string[] = [];
    for (const [i, prompt] of prompts.entries()) wanted.push((await alone(prompt, options(i))).text);
    expect(texts).toEqual(wanted);
    expect(server.state).toMatchObject({ running: 0, waiting: 0 });
  });

  it("of several prompts, n times each, stand in order and draw with seeds one after the other", async () => {
    const prompt = ["Ham", "Mac"];
    const made = await client.completions.create({ model, prompt, n: 2, seed: 7, max_tokens: 9 });
    expect(made.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    for (const { index, text } of made.choices) {
      const wanted = await alone(prompt[index >> 1]!, { seed: 7 + index, maxTokens: 9 });
      expect(text).toBe(wanted.text);
    }
    expect(made.usage).toEqual({ prompt_tokens: 6, completion_tokens: 36, total_tokens: 42 });
  });

  it("take ids, end at stop strings, and are pushed by a bias", async () => {
    const ids = Array.from(opened.tokenizer.encode("Hello"));
    const { text } = await alone("Hello", { temperature: 0, maxTokens: 12 });
    const stop = text.slice(4, 6);
    const stopped = await client.completions.create({ ...greedy, prompt: ids, max_tokens: 12, stop });
    expect(stopped.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: "stop" });
    const z = opened.tokenizer.tokenId("z")!;
    const pushed = await client.completions.create({
      ...greedy,
      prompt: ids,
      max_tokens: 3,
      logit_bias: { [z]: 100 },
    });
    expect(pushed.choices[0]!.text).toBe("zzz");
  });

  it("tell log-probabilities, of the prompt too", async () => {
    const made = await client.completions.create({ ...greedy, prompt: "Hi yo", max_tokens: 4, logprobs: 2 });
    const { text, logprobs } = made.choices[0]!;
    expect(logprobs!.tokens!.join("")).toBe(text);
    expect(logprobs!.text_offset).toEqual([0, 1, 2, 3]);
    logprobs!.token_logprobs!.forEach((value, i) => {
      const top = logprobs!.top_logprobs![i]!;
      expect(Math.max(...Object.values(top))).toBe(value);
      expect(Object.keys(top)).toHaveLength(2);
    });
    // The same text as a prompt has the same log-probabilities.
    const prompt = `Hi yo${text}`;
    const told = await client.completions.create({ ...greedy, prompt, max_tokens: 0, logprobs: 0, echo: true });
    const [choice] = told.choices;
    expect(choice!.text).toBe(prompt);
    expect(choice!.finish_reason).toBe("length");
    expect(choice!.logprobs!.token_logprobs![0]).toBeNull();
    choice!.logprobs!.token_logprobs!.slice(5).forEach((value, i) => {
      expect(value).toBeCloseTo(logprobs!.token_logprobs![i]!, 4);
    });
    expect(told.usage).toEqual({ prompt_tokens: 9, completion_tokens: 0, total_tokens: 9 });
    const echoed = await client.completions.create({ ...greedy, prompt: "Hi yo", max_tokens: 4, echo: true });
    expect(echoed.choices[0]!.text).toBe(prompt);
  });
});

it("never says a token the tokenizer does not have", async () => {
  const made = await tinyFolder({}, { ...tinyConfig, vocab_size: 400 });
  const padded = await serve(await openModel(made.folder), { port: 0 });
  const own = new OpenAI({ baseURL: `${padded.url}/v1`, apiKey: "none", maxRetries: 0 });
  const told = await own.completions.create({ model, prompt: "a", max_tokens: 60, temperature: 2, n: 4, seed: 1 });
  expect(told.usage!.completion_tokens).toBe(240);
  await padded.close();
  await made.remove();
});

describe("chat", () => {
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Who is there?" },
  ] as const;

  it("goes on from plain lines where there is no template", async () => {
    const wanted = await alone("System: Be brief.\n\nUser: Who is there?\n\nAssistant:", {
      temperature: 0,
      maxTokens: 20,
    });
    const made = await client.chat.completions.create({ ...greedy, messages: [...messages], max_tokens: 20 });
    expect(made).toMatchObject({
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", content: wanted.text }, finish_reason: "length" }],
    });
    expect(made.id).toMatch(/^chatcmpl-/);
    const stream = await client.chat.completions.create({
      ...greedy,
      messages: [...messages],
      max_completion_tokens: 20,
      stream: true,
    });
    const deltas: { role?: string; content?: string | null }[] = [];
    const finish: unknown[] = [];
    for await (const { choices } of stream) {
      deltas.push(choices[0]!.delta);
      finish.push(choices[0]!.finish_reason);
    }
    expect(deltas[0]).toMatchObject({ role: "assistant", content: "" });
    expect(deltas.map(({ content }) => content ?? "").join("")).toBe(wanted.text);
    expect(finish.at(-1)).toBe("length");
    expect(finish.slice(0, -1).every((one) => one === null)).toBe(true);
  });

  it("goes on to the end of the context where nothing says otherwise, n times, with log-probabilities", async () => {
    const made = await client.chat.completions.create({
      model,
      messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }],
      n: 2,
      seed: 1,
      logprobs: true,
      top_logprobs: 3,
    });
    expect(made.usage!.total_tokens - made.usage!.prompt_tokens).toBe(made.usage!.completion_tokens);
    for (const { message, logprobs, finish_reason } of made.choices) {
      expect(finish_reason).toBe("length");
      expect(logprobs!.content).toHaveLength(context - made.usage!.prompt_tokens + 1);
      const special = /^<\|.*\|>$/;
      const text = logprobs!.content!.map(({ token }) => (special.test(token) ? "" : token)).join("");
      expect(text).toBe(message.content);
      expect(logprobs!.content![0]!.top_logprobs).toHaveLength(3);
    }
    expect(made.choices[0]!.message.content).not.toBe(made.choices[1]!.message.content);
  });
});
