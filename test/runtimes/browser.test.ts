// The engine in a page: a few steps on WebAssembly with workers in the system's Chromium, and the bits that Node gives.
// Needs the built package; skipped, not passed, where there is no Chromium.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../architecture/imports.ts";

const chromium = ["chromium", "chromium-browser", "google-chrome"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);

interface Result {
  readonly what: string;
  readonly threads: number;
  readonly losses: readonly number[];
}

const types: { readonly [ending: string]: string } = {
  js: "text/javascript",
  mjs: "text/javascript",
  html: "text/html",
};

const page = `<!doctype html><script type="module">
  const say = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
  try {
    const { train } = await import("/test/runtimes/classic-steps.mjs");
    const module = new Uint8Array(await (await fetch("/dist/wasm/chainrule.wasm")).arrayBuffer());
    say(await train({ module, threads: 2 }));
  } catch (error) {
    say(String(error.stack));
  }
</script>`;

/** Serves the repository, and a page whose result settles the promise. */
function serve(isolated: boolean): { readonly server: Server; readonly result: Promise<Result> } {
  let settle: (result: Result) => void;
  const result = new Promise<Result>((resolve) => (settle = resolve));
  const server = createServer((request, response) => {
    if (isolated) {
      response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
      response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    }
    const path = normalize(request.url ?? "/");
    if (request.method === "POST") {
      let body = "";
      request.on("data", (chunk) => (body += String(chunk)));
      request.on("end", () => {
        settle(JSON.parse(body) as Result);
        response.end();
      });
      return;
    }
    const file = join(root, path);
    if (path === "/") response.setHeader("content-type", "text/html").end(page);
    else if (!/^\/(dist|test)\//.test(path) || !existsSync(file)) response.writeHead(404).end();
    else
      response.setHeader("content-type", types[path.split(".").at(-1)!] ?? "application/wasm").end(readFileSync(file));
  });
  return { server, result };
}

async function inPage(isolated: boolean): Promise<Result> {
  const { server, result } = serve(isolated);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const profile = mkdtempSync(join(tmpdir(), "chainrule-browser-"));
  const { port } = server.address() as AddressInfo;
  const browser = spawn(
    chromium!,
    ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`, `http://127.0.0.1:${port}/`],
    { stdio: "ignore" },
  );
  const gone = new Promise<void>((resolve) => browser.on("exit", () => resolve()));
  try {
    return await result;
  } finally {
    browser.kill();
    await gone;
    server.close();
    server.closeAllConnections();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function inNode(): Promise<Result> {
  const { train } = (await import(new URL("./classic-steps.mjs", import.meta.url).href)) as {
    train(options: { readonly module: Uint8Array; readonly threads: number }): Promise<Result>;
  };
  return train({ module: new Uint8Array(readFileSync(join(root, "dist/wasm/chainrule.wasm"))), threads: 1 });
}

describe.skipIf(chromium === undefined)("Chromium", () => {
  it("trains on two threads in a cross-origin isolated page, to the bits of Node", async () => {
    const expected = await inNode();
    const result = await inPage(true);
    expect(result).toEqual({ ...expected, what: expect.stringContaining("2 threads"), threads: 2 });
    expect(result.losses.at(-1)!).toBeLessThan(result.losses[0]!);
  });

  it("trains on one thread in any other page", async () => {
    const expected = await inNode();
    expect(await inPage(false)).toEqual(expected);
  });
});
