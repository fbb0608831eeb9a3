// serve: a language model behind OpenAI's HTTP API.
export { type GuardOptions } from "./guard.ts";
export * from "./events.ts";
export * from "./scheduler.ts";
export * from "./server.ts";
