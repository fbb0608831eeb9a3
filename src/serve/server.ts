// serve: a language model behind OpenAI's HTTP API.
import { setMaxListeners } from "node:events";
import type { AddressInfo } from "node:net";
import type { Server } from "node:http";
import { randomUUID } from "node:crypto";
import { createAdaptorServer } from "@hono/node-server";
import { Hono, type Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { OpenModel } from "../models/index.ts";
import { answerChunks, wholeAnswer } from "./answers.ts";
import { ApiError, apiError } from "./api-error.ts";
import { chatPrompts } from "./chat.ts";
import { chatWork } from "./chat-completions.ts";
import { completionWork, type Asked } from "./completions.ts";
import { guard, type GuardOptions } from "./guard.ts";
import { chatRequest, completionRequest, type TextSettings } from "./requests.ts";
import { Scheduler, type SchedulerOptions } from "./scheduler.ts";

export interface ServeOptions extends GuardOptions, SchedulerOptions {
  /** The address to listen on; 127.0.0.1, this machine alone, unless said. */
  readonly host?: string;
  /** 0 takes a free one; 8080 unless said. */
  readonly port?: number;
  /** The model's name in the API; that of its folder unless said. */
  readonly name?: string;
  /** Largest body of a request in bytes; 4 MiB unless said. */
  readonly maxBodyBytes?: number;
  /** Is told of errors that are nobody's request's fault; they go to stderr unless said. */
  readonly onError?: (error: unknown) => void;
}

/** A model that is being served. */
export interface ModelServer {
  /** Where it listens: `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly port: number;
  readonly name: string;
  /** Texts under way and waiting. */
  readonly state: Scheduler["state"];
  /** Ends it: no new requests, and those under way are answered to their end. `now` cuts them off. */
  close(options?: { readonly now?: boolean }): Promise<void>;
}

/**
 * Serves a model: GET /v1/models, POST /v1/completions and /v1/chat/completions, and GET /health.
 * Texts of all requests run together, each a row of one decoder. A client that leaves frees its rows within a step.
 *
 * @example no-run
 * const server = await serve(await openModel("runs/shakespeare"), { port: 0 });
 * const answer = await fetch(`${server.url}/v1/models`);
 * await server.close();
 */
export async function serve(opened: OpenModel, options: ServeOptions = {}): Promise<ModelServer> {
  const { host = "127.0.0.1", port = 8080, name = opened.name } = options;
  const scheduler = new Scheduler(opened.model, options);
  const stopping = new AbortController();
  setMaxListeners(Infinity, stopping.signal); // one for each request under way
  const door = { open: true };
  const app = application({ opened, scheduler, name, stopping: stopping.signal, door }, options);
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  const closed = new Promise<void>((resolve) => server.once("close", resolve));
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    port: bound,
    name,
    get state() {
      return scheduler.state;
    },
    async close({ now = false } = {}) {
      door.open = false;
      server.close();
      if (now) stopping.abort();
      await scheduler.idle();
      // Answers that are written by now leave; connections without a request end here.
      server.closeIdleConnections();
      if (now) server.closeAllConnections();
      const idle = setInterval(() => server.closeIdleConnections(), 50);
      await closed;
      clearInterval(idle);
    },
  };
}

interface Served {
  readonly opened: OpenModel;
  readonly scheduler: Scheduler;
  readonly name: string;
  readonly stopping: AbortSignal;
  /** Shut while the server ends: connections that are still there may ask no more. */
  readonly door: { readonly open: boolean };
}

function application({ opened, scheduler, name, stopping, door }: Served, options: ServeOptions): Hono {
  const { maxBodyBytes = 2 ** 22, onError = (error) => console.error(error) } = options;
  const created = Math.floor(Date.now() / 1000);
  const promptOf = chatPrompts(opened);
  const app = new Hono();
  app.onError((error, c) => refuse(c, error, onError));
  app.notFound((c) => refuse(c, new ApiError(404, `there is no ${c.req.method} ${c.req.path}`), onError));
  app.use(guard(options));
  app.use(async (_, next) => {
    if (!door.open) throw new ApiError(503, "the server is ending", { code: "shutting_down" });
    await next();
  });
  app.use(
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: (c) => refuse(c, new ApiError(413, `a request has at most ${maxBodyBytes} bytes`), onError),
    }),
  );
  const model = { id: name, object: "model", created, owned_by: "chainrule" };
  app.get("/v1/models", (c) => c.json({ object: "list", data: [model] }));
  app.get("/v1/models/:id{.+}", (c) => {
    expectModel(c.req.param("id"), name);
    return c.json(model);
  });
  app.get("/health", (c) => c.json({ status: "ok", ...scheduler.state }));
  const answer = (c: Context, request: TextSettings, asked: Asked): Promise<Response> =>
    respond(c, { request, asked, scheduler, stopping, name, onError });
  app.post("/v1/completions", async (c) => {
    const request = completionRequest(await c.req.text());
    expectModel(request.model, name);
    return answer(c, request, completionWork(opened, request));
  });
  app.post("/v1/chat/completions", async (c) => {
    const request = chatRequest(await c.req.text());
    expectModel(request.model, name);
    return answer(c, request, chatWork(opened, request, promptOf));
  });
  return app;
}

interface Work {
  readonly request: TextSettings;
  readonly asked: Asked;
  readonly scheduler: Scheduler;
  readonly stopping: AbortSignal;
  readonly name: string;
  readonly onError: (error: unknown) => void;
}

async function respond(c: Context, { request, asked, scheduler, ...work }: Work): Promise<Response> {
  const { kind, jobs, promptTokens } = asked;
  const id = `${kind.prefix}-${randomUUID().replaceAll("-", "")}`;
  const created = Math.floor(Date.now() / 1000);
  const frame = { id, created, model: work.name, texts: jobs.length, promptTokens };
  // Aborts when the client leaves, when the server stops, and when the answer is over for whatever reason.
  const leaving = new AbortController();
  // What is refused leaves nothing behind.
  const events = scheduler.submit(jobs, leaving.signal);
  const signals = [c.req.raw.signal, work.stopping];
  const leave = (): void => {
    // By hand: a listener that hangs on another signal (`{ signal }`) is lost to the collector before it removes anything.
    for (const signal of signals) signal.removeEventListener("abort", leave);
    leaving.abort();
  };
  for (const signal of signals) signal.addEventListener("abort", leave);
  if (signals.some(({ aborted }) => aborted)) leave();
  if (!request.stream) {
    try {
      return c.json(await wholeAnswer(kind, frame, events));
    } finally {
      leave();
    }
  }
  const chunks = answerChunks(kind, { ...frame, includeUsage: request.includeUsage }, events);
  return c.body(eventStream(chunks, { leave, onError: work.onError }), 200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
  });
}

/** Objects as server-sent events, made as fast as they are read; an error becomes the last of them. */
function eventStream(
  chunks: AsyncGenerator<object, void, undefined>,
  { leave, onError }: { readonly leave: () => void; readonly onError: (error: unknown) => void },
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const event = (data: string): Uint8Array => encoder.encode(`data: ${data}\n\n`);
  let left = false;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await chunks.next();
        if (left) return;
        if (done !== true) return controller.enqueue(event(JSON.stringify(value)));
        controller.enqueue(event("[DONE]"));
      } catch (error) {
        const told = apiError(error);
        if (told.status === 500) onError(error);
        if (left) return;
        if (told.status !== 499) controller.enqueue(event(JSON.stringify(told.body)));
      }
      leave();
      controller.close();
    },
    cancel() {
      left = true;
      leave();
    },
  });
}

function expectModel(asked: string, name: string): void {
  if (asked === name) return;
  const text = `the model ${JSON.stringify(asked)} does not exist: this server has ${JSON.stringify(name)}`;
  throw new ApiError(404, text, { param: "model", code: "model_not_found" });
}

function refuse(c: Context, error: unknown, onError: (error: unknown) => void): Response {
  const told = apiError(error);
  if (told.status === 500) onError(error);
  return c.json(told.body, told.status as ContentfulStatusCode);
}
