// The worker threads of one WebAssembly memory: started when there is work for them, asleep inside the module between
// jobs, gone with the driver. In Node, and in pages that are cross-origin isolated.
import { BackendError } from "../../core/index.ts";
import type { CompiledModule } from "./module.ts";

/** What a worker is given. */
interface WorkerData {
  readonly module: CompiledModule;
  readonly memory: object;
  /** The end of its stack, and the block of its thread-local variables. */
  readonly stack: number;
  readonly tls: number;
}

interface Thread {
  ref?(): void;
  unref?(): void;
  terminate(): unknown;
}

// The worker's program. `done` is told at once, while the worker stays inside the module.
const PROGRAM = `
const start = ({ module, memory, stack, tls }, say) => {
  try {
    const env = { memory, seconds: () => performance.now() / 1000, done: (run) => say(run >>> 0) };
    const { exports } = new WebAssembly.Instance(module, { env });
    exports.__stack_pointer.value = stack;
    exports.__wasm_init_tls(tls);
    exports.work();
  } catch (error) {
    say(String(error));
  }
};
`;
const IN_NODE = `const { parentPort, workerData } = require("node:worker_threads");
start(workerData, (message) => parentPort.postMessage(message));`;
const IN_PAGE = `onmessage = ({ data }) => start(data, (message) => postMessage(message));`;

// What pages have; the Node types do not declare it.
interface Page {
  readonly crossOriginIsolated?: boolean;
  readonly document?: object;
  readonly Worker?: new (url: string) => Thread & {
    postMessage(message: unknown, transfer: readonly object[]): void;
    addEventListener(
      kind: "message" | "error",
      hear: (event: { readonly data?: unknown; readonly message?: string }) => void,
    ): void;
  };
}
const page = globalThis as unknown as Page;

/** `node:worker_threads`, where there is such a thing. */
function nodeWorkers(): typeof import("node:worker_threads") | undefined {
  return typeof process === "undefined" ? undefined : process.getBuiltinModule?.("node:worker_threads");
}

/** Whether workers may share memory here. */
export function workersAllowed(): boolean {
  return nodeWorkers() !== undefined || (page.crossOriginIsolated === true && page.Worker !== undefined);
}

/** Whether this thread may sleep: a page's main thread may not. */
export function maySleep(): boolean {
  return nodeWorkers() !== undefined || page.document === undefined;
}

interface Waiting {
  resolve(): void;
  reject(error: BackendError): void;
}

/** The workers of one memory. */
export class Workers {
  readonly #data: readonly WorkerData[];
  readonly #threads: Thread[] = [];
  readonly #waiting = new Map<number, Waiting>();
  /** Why no more runs are possible. */
  #broken: BackendError | undefined;

  constructor(data: readonly WorkerData[]) {
    this.#data = data;
  }

  get started(): boolean {
    return this.#threads.length > 0;
  }

  /** Starts the threads, once. */
  start(): void {
    if (!this.started) for (const data of this.#data) this.#threads.push(this.#spawn(data));
  }

  /** Settles when a worker says that this run is done; until then the process stays alive. */
  async finished(run: number): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    const first = this.#threads[0]!;
    if (this.#waiting.size === 0) first.ref?.();
    try {
      await new Promise<void>((resolve, reject) => this.#waiting.set(run, { resolve, reject }));
    } finally {
      this.#waiting.delete(run);
      if (this.#waiting.size === 0) first.unref?.();
    }
  }

  stop(): void {
    for (const thread of this.#threads) void thread.terminate();
  }

  #spawn(data: WorkerData): Thread {
    const hear = (message: unknown): void => {
      if (typeof message === "number") this.#waiting.get(message)?.resolve();
      else this.#fail(String(message));
    };
    const node = nodeWorkers();
    if (node !== undefined) {
      const thread = new node.Worker(PROGRAM + IN_NODE, { eval: true, workerData: data, execArgv: [], env: {} });
      thread.on("message", hear);
      thread.on("error", (error) => this.#fail(error.message));
      thread.unref();
      return thread;
    }
    const { Blob } = globalThis;
    const url = URL.createObjectURL(new Blob([PROGRAM + IN_PAGE], { type: "text/javascript" }));
    const thread = new page.Worker!(url);
    thread.addEventListener("message", ({ data: message }) => hear(message));
    thread.addEventListener("error", ({ message }) => this.#fail(message ?? "it did not start"));
    thread.postMessage(data, []);
    return thread;
  }

  // A worker that stopped in the middle left its memory in no state to go on with.
  #fail(reason: string): void {
    this.#broken ??= new BackendError("wasm", `a worker thread stopped: ${reason}`);
    for (const { reject } of this.#waiting.values()) reject(this.#broken);
    this.stop();
  }
}
