// The program of a worker thread that prepares documents: keeps a batch between examining and encoding it.
import { parentPort, workerData } from "node:worker_threads";
import { encodeKept, examine, type Encoded, type Examined, type Refused, type StageOptions } from "./prepare-stage.ts";
import { parseTokenizer } from "./tokenizer-json.ts";

/** What a worker is started with. */
export interface WorkerSetting {
  /** The content of its tokenizer.json. */
  readonly tokenizer: string;
  readonly stage: StageOptions;
}

/** A batch to examine, or which of its documents to encode. */
export type WorkerRequest =
  { readonly id: number; readonly texts: readonly string[] } | { readonly id: number; readonly keep: Uint32Array };

/** The answer to a request. What nobody meant to happen ends the thread. */
export interface WorkerAnswer {
  readonly id: number;
  readonly value: Examined | Encoded | Refused;
}

if (parentPort !== null) {
  const port = parentPort;
  const { tokenizer, stage } = workerData as WorkerSetting;
  const how = { ...stage, tokenizer: parseTokenizer(tokenizer) };
  const held = new Map<number, readonly string[]>();
  port.on("message", (request: WorkerRequest) => {
    const { id } = request;
    if ("texts" in request) {
      held.set(id, request.texts);
      const value = examine(request.texts, stage);
      const { bytes, keys, draws, signatures, signed } = value;
      const moved = [bytes, keys, draws, signatures, signed].map(({ buffer }) => buffer as ArrayBuffer);
      port.postMessage({ id, value } satisfies WorkerAnswer, moved);
      return;
    }
    const texts = held.get(id)!;
    held.delete(id);
    const value = encodeKept(texts, request.keep, how);
    const moved = "ids" in value ? [value.ids.buffer as ArrayBuffer, value.lengths.buffer as ArrayBuffer] : [];
    port.postMessage({ id, value } satisfies WorkerAnswer, moved);
  });
}
