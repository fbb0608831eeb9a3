// `chainrule serve`: a trained model behind OpenAI's HTTP API, until Ctrl-C.
import { Command } from "commander";
import { isIP } from "node:net";
import { wholeNumber } from "../numbers.ts";
import { outputOf } from "../output.ts";

export function serve(): Command {
  return new Command("serve")
    .description("serve a trained model over OpenAI's HTTP API")
    .argument("<folder>", "a model folder, or a run with one in model/")
    .option("--host <address>", "the address to listen on", "127.0.0.1")
    .option("--port <number>", "the port; 0 takes a free one", wholeNumber, 8080)
    .option("--name <name>", "what the model is called; the name of its folder unless said")
    .option("--slots <number>", "texts that run at the same time", wholeNumber, 8)
    .option("--queue <number>", "texts that may wait", wholeNumber, 256)
    .option("--context <number>", "tokens a text may have; the model's own unless said", wholeNumber)
    .option("--max-body <bytes>", "largest request", wholeNumber, 2 ** 22)
    .option("--api-key <key>", "asked for as `Authorization: Bearer`; CHAINRULE_API_KEY does the same")
    .option("--allow-host <name...>", "names under which the server may be asked, beside localhost and addresses")
    .option("--allow-origin <origin...>", "origins whose pages may ask; * for all")
    .action(run);
}

interface Options {
  readonly host: string;
  readonly port: number;
  readonly name?: string;
  readonly slots: number;
  readonly queue: number;
  readonly context?: number;
  readonly maxBody: number;
  readonly apiKey?: string;
  readonly allowHost?: string[];
  readonly allowOrigin?: string[];
}

async function run(folder: string, options: Options, command: Command): Promise<void> {
  const { openModel } = await import("../../models/index.ts");
  const { serve: start } = await import("../../serve/index.ts");
  const output = outputOf(command);
  const { host, port, name, slots, queue, context, maxBody, allowHost = [], allowOrigin = [] } = options;
  // An empty one is none.
  const apiKey = (options.apiKey ?? process.env["CHAINRULE_API_KEY"]) || undefined;
  const opened = await openModel(folder);
  const server = await start(opened, {
    host,
    port,
    slots,
    queue,
    maxBodyBytes: maxBody,
    allowedHosts: isIP(host) === 0 ? [host, ...allowHost] : allowHost,
    allowedOrigins: allowOrigin,
    ...(name === undefined ? {} : { name }),
    ...(context === undefined ? {} : { length: context }),
    ...(apiKey === undefined ? {} : { apiKey }),
  });
  if (!isLoopback(host) && apiKey === undefined)
    output.progress("warning: other machines can reach this server, and it asks for no key (--api-key)");
  const chat = opened.chatTemplate === undefined ? "plain lines" : "the model's template";
  const result = { url: `${server.url}/v1`, model: server.name, slots, chat };
  output.result(result, () => `${result.url}  model ${server.name}, ${slots} slots, chat by ${chat}`);
  output.progress("Ctrl-C ends it when the texts under way have ended; once more ends it at once.");
  await interrupted();
  output.progress(`ending: ${server.state.running} texts run, ${server.state.waiting} wait`);
  const closed = server.close();
  void interrupted().then(() => server.close({ now: true }));
  await closed;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
      resolve();
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
  });
}
