// The content of tokenizer.json from a tokenizer's parts, with the keys in Hugging Face's order.
import type { JsonNode } from "../formats/index.ts";
import type { AddedToken } from "./added-tokens.ts";
import type { BpeModel } from "./bpe-tokenizer.ts";
import type { CharModel } from "./char-tokenizer.ts";
import { bytesToAlphabet } from "./byte-alphabet.ts";
import { patterns } from "./pretokenize.ts";

/** A node with a `type`, as most parts of the file are. */
export function typed(type: string, rest: { readonly [key: string]: JsonNode } = {}): Map<string, JsonNode> {
  return new Map<string, JsonNode>([["type", type], ...Object.entries(rest)]);
}

/** The whole file of a byte-level BPE tokenizer. */
export function bpeNode(model: BpeModel): Map<string, JsonNode> {
  const shell = model.file ?? newShell(model);
  const part = (key: string): JsonNode => shell.get(key) ?? null;
  const node = new Map(shell);
  node.set("added_tokens", (model.addedTokens ?? []).map(addedNode));
  const text = texts(model);
  // A file may write merges as pairs or, as older ones do, as "left right".
  const strings = shell.get("merges") === "strings";
  const merges: JsonNode[] = [];
  for (let i = 0; i < model.merges.length; i += 2) {
    const [left, right] = [text[model.merges[i]!]!, text[model.merges[i + 1]!]!];
    merges.push(strings ? `${left} ${right}` : [left, right]);
  }
  const vocab = new Map<string, JsonNode>();
  text.forEach((token, id) => token !== undefined && vocab.set(token, id));
  node.set("model", new Map([...(part("model") as Map<string, JsonNode>), ["vocab", vocab], ["merges", merges]]));
  node.delete("merges");
  return node;
}

/** An added token as the file has it. */
export function addedNode(token: AddedToken): Map<string, JsonNode> {
  return new Map<string, JsonNode>([
    ["id", token.id],
    ["content", token.content],
    ["single_word", token.singleWord ?? false],
    ["lstrip", token.lstrip ?? false],
    ["rstrip", token.rstrip ?? false],
    ["normalized", token.normalized ?? false],
    ["special", token.special],
  ]);
}

/** What the model's vocabulary calls its tokens: the byte alphabet; added tokens their text. */
function texts({ tokens, addedTokens = [] }: BpeModel): (string | undefined)[] {
  const added = new Map(addedTokens.map(({ id, content }) => [id, content]));
  return tokens.map((bytes, id) => (bytes === undefined ? undefined : (added.get(id) ?? bytesToAlphabet(bytes))));
}

// What Hugging Face's trainer leaves for the same options.
function newShell({
  pattern,
  addPrefixSpace = false,
  wholeWords = false,
  normalizer,
}: BpeModel): Map<string, JsonNode> {
  const byteLevel = (use_regex: boolean): Map<string, JsonNode> =>
    typed("ByteLevel", { add_prefix_space: addPrefixSpace, trim_offsets: true, use_regex });
  const split = typed("Split", {
    pattern: new Map([["Regex", patterns[pattern].regex]]),
    behavior: "Isolated",
    invert: false,
  });
  return new Map<string, JsonNode>([
    ["version", "1.0"],
    ["truncation", null],
    ["padding", null],
    ["added_tokens", []],
    ["normalizer", normalizer === undefined ? null : typed(normalizer)],
    [
      "pre_tokenizer",
      pattern === "gpt2" ? byteLevel(true) : typed("Sequence", { pretokenizers: [split, byteLevel(false)] }),
    ],
    ["post_processor", null],
    ["decoder", typed("ByteLevel", { add_prefix_space: true, trim_offsets: true, use_regex: true })],
    [
      "model",
      typed("BPE", {
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: wholeWords,
      }),
    ],
  ]);
}

/** The whole file of a character tokenizer: a WordLevel model over single characters, which Hugging Face reads as well. */
export function charNode({ characters, addedTokens = [], unkToken = "" }: CharModel): Map<string, JsonNode> {
  const vocab = new Map<string, JsonNode>(characters.map((character, id) => [character, id]));
  // Without its unknown token in the vocabulary a WordLevel model refuses unknown characters, as we do.
  const unk = addedTokens.find(({ content }) => content === unkToken);
  if (unk !== undefined) vocab.set(unk.content, unk.id);
  return new Map<string, JsonNode>([
    ["version", "1.0"],
    ["truncation", null],
    ["padding", null],
    ["added_tokens", addedTokens.map(addedNode)],
    ["normalizer", null],
    [
      "pre_tokenizer",
      typed("Split", { pattern: new Map([["Regex", EACH_CHARACTER]]), behavior: "Isolated", invert: false }),
    ],
    ["post_processor", null],
    ["decoder", typed("Fuse")],
    ["model", typed("WordLevel", { vocab, unk_token: unkToken })],
  ]);
}

/** The expression by which such a file cuts text. */
export const EACH_CHARACTER = "[\\s\\S]";
