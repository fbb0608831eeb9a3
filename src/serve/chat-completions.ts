// POST /v1/chat/completions: the next message of a conversation.
import type { Tokenizer } from "../data/text/index.ts";
import type { OpenModel } from "../models/index.ts";
import type { AnswerKind, Logprobs, Piece } from "./answers.ts";
import type { ChatPrompt } from "./chat.ts";
import { textJob, type Asked } from "./completions.ts";
import type { TextEvent } from "./events.ts";
import type { ChatRequest, Message } from "./requests.ts";
import { tokenBytes, tokenName } from "./token-names.ts";

/** The work of a request: n answers to the same messages; answer i is drawn with seed + i. */
export function chatWork(
  opened: OpenModel,
  request: ChatRequest,
  promptOf: (messages: readonly Message[]) => ChatPrompt,
): Asked {
  const { ids, stop } = promptOf(request.messages);
  const settings = { ...request, stop: [...request.stop, ...stop] };
  const jobs = Array.from({ length: request.n }, (_, index) => textJob(opened, settings, { ids, index }));
  return { jobs, kind: new ChatAnswer(opened, request.logprobs !== undefined), promptTokens: ids.length };
}

class ChatAnswer implements AnswerKind {
  readonly prefix = "chatcmpl";
  readonly object = "chat.completion";
  readonly chunkObject = "chat.completion.chunk";
  readonly #opened: Pick<OpenModel, "tokenizer" | "endTokens">;
  readonly #logprobs: boolean;

  constructor(opened: Pick<OpenModel, "tokenizer" | "endTokens">, logprobs: boolean) {
    this.#opened = opened;
    this.#logprobs = logprobs;
  }

  opening(): undefined {
    return undefined;
  }

  piece(event: TextEvent): Piece | undefined {
    if ("prompt" in event) return undefined;
    const { index } = event;
    const { id, text, logprob, top = [], finish = null } = event.token;
    const { tokenizer, endTokens } = this.#opened;
    const ended = finish === "stop" && endTokens.includes(id);
    const told: Logprobs | null =
      logprob === undefined || !this.#logprobs || ended
        ? null
        : {
            content: [
              {
                ...named(tokenizer, { id, logprob }),
                top_logprobs: top.map((one) => named(tokenizer, one)),
              },
            ],
          };
    return text === "" && finish === null && told === null ? undefined : { index, text, logprobs: told, finish };
  }

  choice({ index, text, logprobs, finish }: Piece): object {
    const message = { role: "assistant", content: text, refusal: null };
    return {
      index,
      message,
      logprobs: logprobs === null ? null : { ...logprobs, refusal: null },
      finish_reason: finish,
    };
  }

  // The reason comes by itself, behind the last of the text.
  deltas({ index, text, logprobs, finish }: Piece): readonly object[] {
    const told = logprobs === null ? null : { ...logprobs, refusal: null };
    const content = { index, delta: { content: text }, logprobs: told, finish_reason: null };
    const end = { index, delta: {}, logprobs: null, finish_reason: finish };
    return [...(text !== "" || told !== null ? [content] : []), ...(finish === null ? [] : [end])];
  }

  firstDeltas(index: number): readonly object[] {
    return [{ index, delta: { role: "assistant", content: "", refusal: null }, logprobs: null, finish_reason: null }];
  }
}

function named(
  tokenizer: Tokenizer,
  { id, logprob }: { readonly id: number; readonly logprob: number },
): { readonly token: string; readonly logprob: number; readonly bytes: number[] } {
  return { token: tokenName(tokenizer, id), logprob, bytes: Array.from(tokenBytes(tokenizer, id)) };
}
