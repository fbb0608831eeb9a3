// Chat: messages to the prompt a model was trained on, by its Jinja template or, without one, as plain lines.
import { Template } from "@huggingface/jinja";
import { FormatError } from "../engine/core/index.ts";
import type { Tokenizer } from "../data/text/index.ts";
import type { OpenModel } from "../models/index.ts";
import { ApiError } from "./api-error.ts";
import type { Message } from "./requests.ts";

/** A prompt made of messages. */
export interface ChatPrompt {
  readonly ids: number[];
  /** Strings that end the answer, beside those of the request. */
  readonly stop: readonly string[];
}

type Parts = Pick<OpenModel, "tokenizer" | "beginToken" | "chatTemplate" | "templateTokens" | "folder">;

/**
 * Reads a model's chat template once; the result turns messages into prompts. Special tokens in messages are text: only
 * those of the template itself become their ids.
 *
 * Without a template a prompt is plain lines, `System: …`, `User: …`, `Assistant: …`, an empty line after each, and
 * `Assistant:` at the end; `\n\nUser:` ends the answer.
 */
export function chatPrompts(opened: Parts): (messages: readonly Message[]) => ChatPrompt {
  const { tokenizer, beginToken, chatTemplate: source } = opened;
  if (source === undefined) {
    return (messages) => {
      const before = beginToken === undefined ? [] : [beginToken];
      return { ids: [...before, ...tokenizer.encode(plainChat(messages))], stop: ["\n\nUser:"] };
    };
  }
  const template = compile(source, opened.folder);
  return (messages) => {
    // A mark inside each special token that stands in a message keeps the template's own apart from it.
    const texts = messages.map(({ role, content, name }) => ({
      role,
      content: marked(content, tokenizer),
      ...(name === undefined ? {} : { name: marked(name, tokenizer) }),
    }));
    let text: string;
    try {
      text = template.render({ ...opened.templateTokens, messages: texts, add_generation_prompt: true });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new ApiError(400, `messages: the model's chat template refuses them: ${why}`, { param: "messages" });
    }
    return { ids: encodeMarked(text, tokenizer), stop: [] };
  };
}

/** Messages as plain lines, up to the answer. */
export function plainChat(messages: readonly Message[]): string {
  const names = { system: "System", developer: "System", user: "User", assistant: "Assistant" };
  return `${messages.map(({ role, content }) => `${names[role]}: ${content}\n\n`).join("")}Assistant:`;
}

function compile(source: string, folder: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FormatError(folder, "chat-template", `the chat template is no Jinja template: ${why}`, { cause: error });
  }
}

// A noncharacter of Unicode: never part of text that is exchanged.
const MARK = "\ufdd0";

function marked(text: string, { specialTokens }: Tokenizer): string {
  let out = text.replaceAll(MARK, "\ufffd");
  for (const token of specialTokens.keys())
    out = out.replaceAll(token, (found) => `${found.slice(0, 1)}${MARK}${found.slice(1)}`);
  return out;
}

// Special tokens are cut out as the tokenizer does it; what lies between them is text, and loses its marks.
function encodeMarked(text: string, tokenizer: Tokenizer): number[] {
  if (!text.includes(MARK)) return Array.from(tokenizer.encode(text, { allowedSpecial: "all" }));
  const special = [...tokenizer.specialTokens.keys()].toSorted((a, b) => b.length - a.length);
  const pattern = special.map((token) => token.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
  return text
    .split(new RegExp(`(${pattern})`))
    .flatMap((piece, i) =>
      i % 2 === 1 ? [tokenizer.specialTokens.get(piece)!] : Array.from(tokenizer.encode(piece.replaceAll(MARK, ""))),
    );
}
