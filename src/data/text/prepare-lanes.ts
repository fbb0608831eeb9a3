// Where batches of documents are examined and encoded: in worker threads, or in this one.
import { Worker } from "node:worker_threads";
import { ArgumentError, BackendError } from "../../engine/core/index.ts";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { encodeKept, examine, type Encoded, type Examined, type Refused, type StageOptions } from "./prepare-stage.ts";
import type { WorkerAnswer, WorkerRequest, WorkerSetting } from "./prepare-worker.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Takes a batch through both steps; the batch stays there between them. */
export interface Lane {
  examine(id: number, texts: readonly string[]): Promise<Examined>;
  encode(id: number, keep: Uint32Array): Promise<Encoded | Refused>;
  end(): Promise<void>;
}

/** A tokenizer and the text of its file: what crosses to other threads. */
export interface PreparedTokenizer {
  readonly tokenizer: Tokenizer;
  readonly text: string;
}

/** So many worker threads; 0: this thread. What comes out is the same. */
export function openLanes(count: number, { tokenizer, text }: PreparedTokenizer, stage: StageOptions): Lane[] {
  if (count === 0) return [ownThread(tokenizer, stage)];
  if (!crosses(tokenizer)) {
    throw new ArgumentError("prepareCorpus", "this kind of tokenizer does not cross to worker threads", {
      hint: "leave `workers` out, or set it to 0",
    });
  }
  return Array.from({ length: count }, () => workerThread({ tokenizer: text, stage }));
}

/** How many worker threads a tokenizer is used in here, where nobody says. */
export function workersFor(tokenizer: Tokenizer, cores: number): number {
  return crosses(tokenizer) && !fromSources ? cores : 0;
}

// What its file says is all there is to these; a class of somebody else may hold more.
function crosses(tokenizer: Tokenizer): boolean {
  return tokenizer.constructor === BpeTokenizer || tokenizer.constructor === CharTokenizer;
}

/** Worker threads run compiled files; the tests of this package run its sources. */
const fromSources: boolean = import.meta.url.endsWith(".ts");

function ownThread(tokenizer: Tokenizer, stage: StageOptions): Lane {
  const held = new Map<number, readonly string[]>();
  return {
    async examine(id, texts) {
      held.set(id, texts);
      return examine(texts, stage);
    },
    async encode(id, keep) {
      const texts = held.get(id)!;
      held.delete(id);
      return encodeKept(texts, keep, { ...stage, tokenizer });
    },
    end: async () => {},
  };
}

function workerThread(setting: WorkerSetting): Lane {
  if (fromSources) throw new BackendError("prepareCorpus", "worker threads need the built package (npm run build)");
  const worker = new Worker(new URL("./prepare-worker.js", import.meta.url), { workerData: setting, execArgv: [] });
  // A worker answers in the order of its requests.
  const waiting: { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }[] = [];
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    for (const one of waiting.splice(0)) one.reject(failure);
  };
  worker.on("message", ({ value }: WorkerAnswer) => waiting.shift()!.resolve(value));
  worker.on("error", fail);
  worker.on("exit", (code) => fail(new BackendError("prepareCorpus", `a worker thread ended with code ${code}`)));
  const ask = <T>(request: WorkerRequest, moved: ArrayBuffer[] = []): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (failure !== undefined) {
        reject(failure);
        return;
      }
      waiting.push({ resolve: resolve as (value: unknown) => void, reject });
      worker.postMessage(request, moved);
    });
  return {
    examine: (id, texts) => ask<Examined>({ id, texts }),
    encode: (id, keep) => ask<Encoded | Refused>({ id, keep }),
    end: async () => void (await worker.terminate()),
  };
}
