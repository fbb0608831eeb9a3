// `chainrule serve` as a process of its own, so that its memory is its own too.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** A server that answers. */
export interface RunningServer {
  /** Without `/v1`. */
  readonly url: string;
  readonly model: string;
  readonly pid: number;
  /** Ends it as Ctrl-C does. */
  stop(): Promise<void>;
}

export async function startServer(
  root: string,
  { folder, slots }: { readonly folder: string; readonly slots: number },
): Promise<RunningServer> {
  const args = [join(root, "dist/cli/main.js"), "serve", folder, "--port", "0", "--slots", String(slots), "--json"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let [out, said] = ["", ""];
  child.stderr.on("data", (piece: Buffer) => (said += piece.toString()));
  const ended = once(child, "close");
  const { url, model } = await new Promise<{ readonly url: string; readonly model: string }>((resolve, reject) => {
    child.once("close", () => reject(new Error(`the server did not start: ${out}${said}`)));
    child.stdout.on("data", (piece: Buffer) => {
      out += piece.toString();
      // One JSON document, which ends with a line of its own.
      if (out.endsWith("}\n")) resolve(JSON.parse(out) as { url: string; model: string });
    });
  });
  return {
    url: url.replace(/\/v1$/, ""),
    model,
    pid: child.pid!,
    async stop() {
      child.kill("SIGINT");
      await ended;
    },
  };
}
