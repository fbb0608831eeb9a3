// What the server refuses, with the codes of the API: nothing is ignored, nobody is let in who should not be.
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openModel, type OpenModel } from "../../src/models/index.ts";
import { serve, type ModelServer, type ServeOptions } from "../../src/serve/index.ts";
import { tinyFolder } from "./tiny-folder.ts";

let opened: OpenModel;
let remove: () => Promise<void>;
const servers: ModelServer[] = [];

beforeAll(async () => {
  const made = await tinyFolder();
  remove = made.remove;
  opened = await openModel(made.folder);
});
afterAll(async () => {
  for (const server of servers) await server.close({ now: true });
  await remove();
});

async function start(options: ServeOptions = {}): Promise<ModelServer> {
  const server = await serve(opened, { port: 0, slots: 2, ...options });
  servers.push(server);
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly error?: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

// node:http sends whatever Host it is told to, as fetch does not.
function ask(
  server: ModelServer,
  path: string,
  { body, method, headers }: { body?: string; method?: string; headers?: { [name: string]: string } } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port: server.port, path, method: method ?? (body === undefined ? "GET" : "POST"), headers },
      (response) => {
        let text = "";
        response.on("data", (piece) => (text += String(piece)));
        response.on("end", () => {
          const parsed = text.startsWith("{") ? (JSON.parse(text) as Pick<Answer, "error">) : {};
          resolve({ status: response.statusCode!, headers: response.headers, ...parsed });
        });
      },
    );
    asked.on("error", reject);
    asked.end(body);
  });
}

describe("bodies", () => {
  let server: ModelServer;
  beforeAll(async () => {
    server = await start({ maxBodyBytes: 4000 });
  });
  const fine = { model: "tiny", prompt: "a" };
  const messages = [{ role: "user", content: "a" }];

  it.each([
    ["/v1/completions", "{", null, "body"],
    ["/v1/completions", "[]", null, "expected object"],
    ["/v1/completions", { prompt: "a" }, "model", "received nothing"],
    ["/v1/completions", { ...fine, suffix: "b" }, "suffix", "suffix is not supported"],
    ["/v1/completions", { ...fine, temperature: 3 }, "temperature", "received 3"],
    ["/v1/completions", { ...fine, max_tokens: 1.5 }, "max_tokens", "received 1.5"],
    ["/v1/completions", { ...fine, max_tokens: 0 }, "max_tokens", "echo: true"],
    ["/v1/completions", { ...fine, best_of: 2 }, "best_of", "received 2"],
    ["/v1/completions", { ...fine, stop: ["a", "b", "c", "d", "e"] }, "stop", "received"],
    ["/v1/completions", { ...fine, logit_bias: { 500: 1 } }, "logit_bias", "token 500"],
    ["/v1/completions", { ...fine, prompt: [500] }, "prompt", "token 500"],
    ["/v1/completions", { ...fine, prompt: "" }, "prompt", "no token that begins a text"],
    ["/v1/completions", { ...fine, prompt: "é" }, null, "lacks"],
    ["/v1/completions", { ...fine, prompt: "a".repeat(90), max_tokens: 20 }, null, "at most 96 tokens"],
    ["/v1/completions", { ...fine, stream_options: { include_usage: true } }, "stream_options", "needs stream"],
    ["/v1/chat/completions", { model: "tiny", messages: [] }, "messages", "received []"],
    ["/v1/chat/completions", { model: "tiny", messages, tools: [] }, "tools", "tools is not supported"],
    ["/v1/chat/completions", { model: "tiny", messages, top_logprobs: 2 }, "top_logprobs", "needs logprobs"],
    [
      "/v1/chat/completions",
      { model: "tiny", messages, response_format: { type: "json_object" } },
      "response_format.type",
      "json_object",
    ],
  ])("%s %j is a 400 that names %j", async (path, body, param, part) => {
    const answer = await ask(server, path, { body: typeof body === "string" ? body : JSON.stringify(body) });
    expect(answer.status).toBe(400);
    expect(answer.error).toMatchObject({ type: "invalid_request_error", param });
    expect(answer.error!.message).toContain(part);
  });

  it("for another model, other paths, and too large ones are 404, 404 and 413", async () => {
    const other = await ask(server, "/v1/completions", { body: JSON.stringify({ ...fine, model: "gpt-9" }) });
    expect(other).toMatchObject({ status: 404, error: { code: "model_not_found", param: "model" } });
    expect(await ask(server, "/v2/models")).toMatchObject({ status: 404, error: { type: "invalid_request_error" } });
    const body = JSON.stringify({ ...fine, prompt: "a".repeat(5000) });
    expect(await ask(server, "/v1/completions", { body })).toMatchObject({ status: 413 });
    const headers = { "Transfer-Encoding": "chunked" };
    expect(await ask(server, "/v1/completions", { body, headers })).toMatchObject({ status: 413 });
  });
});

describe("who asks", () => {
  it("under a foreign name is refused, under this machine's own is not", async () => {
    const server = await start({ allowedHosts: ["models.example"] });
    for (const host of ["localhost:1", "127.0.0.1", "[::1]:8080", "models.example:80"])
      expect((await ask(server, "/v1/models", { headers: { Host: host } })).status, host).toBe(200);
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"]) {
      const answer = await ask(server, "/v1/models", { headers: { Host: host } });
      expect(answer, host).toMatchObject({ status: 403, error: { code: "host_not_allowed" } });
    }
  });

  it("from a page of another origin is refused unless that origin is allowed", async () => {
    const server = await start({ allowedOrigins: ["https://app.example"] });
    const from = (origin: string, method = "GET"): Promise<Answer> =>
      ask(server, "/v1/models", { method, headers: { Origin: origin } });
    const allowed = await from("https://app.example");
    expect(allowed.status).toBe(200);
    expect(allowed.headers["access-control-allow-origin"]).toBe("https://app.example");
    const preflight = await from("https://app.example", "OPTIONS");
    expect(preflight).toMatchObject({ status: 204, headers: { "access-control-allow-methods": "GET, POST" } });
    const refused = await from("https://evil.example");
    expect(refused).toMatchObject({ status: 403, error: { code: "origin_not_allowed" } });
    expect(refused.headers["access-control-allow-origin"]).toBeUndefined();
    expect((await from("https://evil.example", "OPTIONS")).status).toBe(403);
  });

  it("without the key is refused where there is one", async () => {
    const server = await start({ apiKey: "secret" });
    expect(await ask(server, "/v1/models")).toMatchObject({ status: 401, error: { code: "invalid_api_key" } });
    const key = (Authorization: string): Promise<Answer> => ask(server, "/v1/models", { headers: { Authorization } });
    expect((await key("Bearer secre")).status).toBe(401);
    expect((await key("Bearer secret")).status).toBe(200);
  });
});
