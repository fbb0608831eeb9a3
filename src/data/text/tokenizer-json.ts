// tokenizer.json, the format of Hugging Face's tokenizers: byte-level BPE and characters, read strictly and written back as read.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../../engine/core/index.ts";
import { decodeUtf8, readBytes, scanJson, writeFileAtomic, type JsonNode } from "../formats/index.ts";
import type { AddedToken } from "./added-tokens.ts";
import { BpeTokenizer, type BpeModel } from "./bpe-tokenizer.ts";
import { alphabetToBytes } from "./byte-alphabet.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { fromPlain, jsonText } from "./json-text.ts";
import { NodeReader } from "./node-reader.ts";
import { findPattern, patterns, type PatternName } from "./pretokenize.ts";
import { EACH_CHARACTER } from "./tokenizer-node.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * Reads `tokenizer.json`; a folder stands for the file of that name in it. Byte-level BPE (GPT-2, RoBERTa, Llama 3, Qwen2,
 * what `trainBpe` saved) and character tokenizers are read; whatever else a file holds is an error that names it, never
 * ignored. Regular expressions of files are recognised, not run.
 *
 * Errors: `FormatError` with the codes of `scanJson`, or `unreadable`, `bad-utf8`, `unsupported`, `wrong-type`,
 * `duplicate-token`, `duplicate-id`, `unknown-token`, `merge-without-token`, `missing-bytes`, `bad-token`.
 *
 * @example
 * await saveTokenizer("tokenizer.json", await trainBpe(["low lower"], { vocabSize: 258 }));
 * const tokenizer = await loadTokenizer("tokenizer.json");
 * tokenizer.vocabSize; // 258
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const folder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false, // the read below says what is wrong
  );
  const file = folder ? join(path, "tokenizer.json") : path;
  return parseTokenizer(decodeUtf8(file, await readBytes(file)), file);
}

/** Writes `tokenizer.json`, atomically, with two blanks a level as Hugging Face's `save` does. */
export async function saveTokenizer(path: string, tokenizer: Tokenizer): Promise<void> {
  const node =
    tokenizer instanceof BpeTokenizer || tokenizer instanceof CharTokenizer
      ? tokenizer.toNode()
      : fromPlain(tokenizer.toJSON());
  await writeFileAtomic(path, jsonText(node));
}

const TOP = "version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder model".split(" ");
const MODEL_SWITCHES = ["fuse_unk", "byte_fallback", "ignore_merges"];
const MODEL = ["type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "vocab", "merges"];

/** A tokenizer from the text of a `tokenizer.json`; errors as of `loadTokenizer`. */
export function parseTokenizer(text: string, where: string = "tokenizer.json"): Tokenizer {
  const root = new NodeReader(scanJson(text, { where }), where);
  root.only(...TOP);
  root.get("version").oneOf("1.0");
  for (const key of ["truncation", "padding"]) {
    if (!root.get(key).isNull)
      throw root.get(key).unsupported("texts are never cut or filled here", `set "${key}" to null in the file`);
  }
  const model = root.get("model");
  const type = model.type() === "" && model.map().has("merges") ? "BPE" : model.type();
  if (type === "BPE") return readBpe(root);
  if (type === "WordLevel") return readChar(root);
  throw model.unsupported(`the type ${JSON.stringify(type)} is not supported`, "byte-level BPE and characters are");
}

function readBpe(root: NodeReader): BpeTokenizer {
  const model = root.get("model").only(...MODEL, ...MODEL_SWITCHES);
  model.get("dropout").oneOf(null, 0);
  model.get("continuing_subword_prefix").oneOf(null, "");
  model.get("end_of_word_suffix").oneOf(null, "");
  model.get("byte_fallback").oneOf(null, false);
  // All 256 bytes are there (checked), so nothing is ever unknown and these two say nothing.
  if (!model.get("unk_token").isNull) model.get("unk_token").text();
  model.get("fuse_unk").oneOf(null, true, false);
  const addedTokens = readAdded(root);
  const { ids, tokens } = readVocab(model.get("vocab"), addedTokens);
  const { merges, strings } = readMerges(model.get("merges"), ids);
  const { pattern, addPrefixSpace } = readPreTokenizer(root.get("pre_tokenizer"));
  const normalizer = readNormalizer(root.get("normalizer"));
  readDecoder(root.get("decoder"));
  const around = readPostProcessor(root.get("post_processor"));
  const shell = new Map(root.map());
  const rest = new Map(model.map());
  rest.delete("vocab");
  rest.delete("merges");
  shell.set("model", rest);
  if (strings) shell.set("merges", "strings");
  return new BpeTokenizer({
    tokens,
    merges,
    pattern,
    addedTokens,
    addPrefixSpace,
    around,
    file: shell,
    where: root.where,
    wholeWords: model.get("ignore_merges").oneOf(null, true, false).value === true,
    ...(normalizer !== undefined && { normalizer }),
  });
}

/** The tokens of a file's vocabulary in the byte alphabet; added tokens stand there as they are. */
export function readVocab(
  vocab: NodeReader,
  addedTokens: readonly AddedToken[],
): { readonly ids: ReadonlyMap<string, number>; readonly tokens: (Uint8Array | undefined)[] } {
  const added = new Map(addedTokens.map(({ content, id }) => [content, id]));
  const ids = new Map<string, number>();
  const tokens: (Uint8Array | undefined)[] = [];
  for (const [text, value] of vocab.map()) {
    const id = typeof value === "number" ? value : vocab.get(text).id();
    if (!Number.isInteger(id) || id < 0 || id >= 2 ** 22) throw vocab.get(text).fail("wrong-type", `${id} is no id`);
    while (tokens.length < id) tokens.push(undefined);
    if (tokens[id] !== undefined) throw vocab.fail("duplicate-id", `two tokens have the id ${id}`);
    if (added.has(text) && added.get(text) !== id)
      throw vocab.fail(
        "duplicate-id",
        `${JSON.stringify(text)} has the id ${id}, as an added token ${added.get(text)}`,
      );
    const bytes = added.has(text) ? new TextEncoder().encode(text) : alphabetToBytes(text);
    if (bytes === undefined)
      throw vocab.fail("bad-token", `${JSON.stringify(text)} (id ${id}) is not in the byte alphabet`);
    tokens[id] = bytes;
    ids.set(text, id);
  }
  for (const { id, content } of addedTokens) {
    if (tokens[id] !== undefined && ids.get(content) !== id)
      throw vocab.fail("duplicate-id", `the added token ${JSON.stringify(content)} has the id ${id} of another`);
  }
  return { ids, tokens };
}

function readMerges(
  merges: NodeReader,
  ids: ReadonlyMap<string, number>,
): { readonly merges: Uint32Array; readonly strings: boolean } {
  const items = Array.isArray(merges.value) ? merges.value : merges.list();
  const out = new Uint32Array(items.length * 2);
  const strings = typeof items[0] === "string";
  (items as JsonNode[]).forEach((item, i) => {
    const parts = typeof item === "string" ? item.split(" ") : item;
    if (!Array.isArray(parts) || parts.length !== 2 || (typeof item === "string") !== strings)
      throw merges.fail("wrong-type", `merge ${i} is no pair of tokens`);
    parts.forEach((part, side) => (out[2 * i + side] = mergedId(part, i, { merges, ids })));
  });
  return { merges: out, strings };
}

function mergedId(
  part: JsonNode,
  i: number,
  { merges, ids }: { readonly merges: NodeReader; readonly ids: ReadonlyMap<string, number> },
): number {
  const id = typeof part === "string" ? ids.get(part) : undefined;
  if (id === undefined)
    throw merges.fail("unknown-token", `merge ${i} names ${JSON.stringify(part)}, which is no token`);
  return id;
}

function readAdded(root: NodeReader): AddedToken[] {
  if (root.get("added_tokens").isNull) return [];
  const seen = new Set<string | number>();
  return root
    .get("added_tokens")
    .list()
    .map((item) => {
      item.only("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special");
      const token = {
        id: item.get("id").id(),
        content: item.get("content").text(),
        singleWord: item.get("single_word").flag(),
        lstrip: item.get("lstrip").flag(),
        rstrip: item.get("rstrip").flag(),
        normalized: item.get("normalized").flag(),
        special: item.get("special").flag(),
      };
      if (token.content === "") throw item.fail("bad-token", "an added token is empty");
      if (seen.has(token.id) || seen.has(token.content))
        throw item.fail("duplicate-id", "an added token appears twice");
      seen.add(token.id).add(token.content);
      return token;
    });
}

function readNormalizer(node: NodeReader): BpeModel["normalizer"] {
  if (node.isNull) return undefined;
  const type = node.type();
  if (type === "Sequence") {
    const list = node.only("type", "normalizers").get("normalizers").list();
    if (list.length > 1) throw node.unsupported("a sequence of several normalizers is not supported");
    return list[0] === undefined ? undefined : readNormalizer(list[0]);
  }
  if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") {
    node.only("type");
    return type;
  }
  throw node.unsupported(`the type ${JSON.stringify(type)} is not supported`);
}

function readPreTokenizer(node: NodeReader): { readonly pattern: PatternName; readonly addPrefixSpace: boolean } {
  if (node.isNull) throw node.unsupported("only byte-level BPE is supported, and this file does not cut text to bytes");
  const type = node.type();
  if (type === "ByteLevel") {
    const { addPrefixSpace, regex } = readByteLevel(node);
    if (!regex) throw node.get("use_regex").unsupported("text that is not cut into words is not supported");
    return { pattern: "gpt2", addPrefixSpace };
  }
  if (type !== "Sequence") throw node.unsupported(`the type ${JSON.stringify(type)} is not supported`);
  const list = node.only("type", "pretokenizers").get("pretokenizers").list();
  const [split, bytes] = list;
  if (list.length === 1) return readPreTokenizer(split!);
  if (
    split === undefined ||
    bytes === undefined ||
    list.length > 2 ||
    split.type() !== "Split" ||
    bytes.type() !== "ByteLevel"
  )
    throw node.unsupported(
      `only Split and ByteLevel: received ${list.map((item) => item.type()).join(", ") || "none"}`,
    );
  const { addPrefixSpace, regex } = readByteLevel(bytes);
  if (addPrefixSpace) throw bytes.get("add_prefix_space").unsupported("true behind a Split is not supported");
  if (regex) throw bytes.get("use_regex").unsupported("true behind a Split is not supported");
  return { pattern: readSplit(split), addPrefixSpace };
}

function readSplit(split: NodeReader): PatternName {
  split.only("type", "pattern", "behavior", "invert");
  // These patterns match all of a text: isolating the matches and removing what is between them are the same.
  const inverted = split.get("invert").flag();
  split.get("behavior").oneOf(inverted ? "Removed" : "Isolated");
  const regex = split.get("pattern").only("Regex").get("Regex").text();
  const pattern = findPattern(regex);
  if (pattern !== undefined && regex !== pattern.name) return pattern.name;
  throw split
    .get("pattern")
    .unsupported(
      `the expression ${JSON.stringify(regex)} is not known`,
      `no expression of a file is run; known are those of ${Object.keys(patterns).join(", ")}`,
    );
}

function readByteLevel(node: NodeReader): { readonly addPrefixSpace: boolean; readonly regex: boolean } {
  node.only("type", "add_prefix_space", "trim_offsets", "use_regex");
  return {
    addPrefixSpace: node.get("add_prefix_space").flag(),
    regex: node.get("use_regex").isNull || node.get("use_regex").flag(),
  };
}

function readDecoder(node: NodeReader): void {
  if (node.isNull || node.type() !== "ByteLevel")
    throw node.unsupported(
      `only ByteLevel is supported: received ${node.isNull ? "null" : JSON.stringify(node.type())}`,
    );
  readByteLevel(node);
}

interface Around {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

// Ids that are put around one text. What a file says of pairs of texts is kept and not used: texts come one by one here.
function readPostProcessor(node: NodeReader): Around {
  const none: Around = { before: [], after: [] };
  if (node.isNull) return none;
  const type = node.type();
  if (type === "ByteLevel") {
    readByteLevel(node); // it trims offsets only; ours are never trimmed
    return none;
  }
  if (type === "Sequence") {
    return node
      .only("type", "processors")
      .get("processors")
      .list()
      .map(readPostProcessor)
      .reduce(
        (inner, { before, after }) => ({ before: [...before, ...inner.before], after: [...inner.after, ...after] }),
        none,
      );
  }
  if (type === "RobertaProcessing") {
    node.only("type", "sep", "cls", "trim_offsets", "add_prefix_space");
    const id = (key: string): number => node.get(key).list()[1]?.id() ?? refuse(node.get(key));
    return { before: [id("cls")], after: [id("sep")] };
  }
  if (type !== "TemplateProcessing") throw node.unsupported(`the type ${JSON.stringify(type)} is not supported`);
  node.only("type", "single", "pair", "special_tokens");
  const sides: [number[], number[]] = [[], []];
  let texts = 0;
  for (const piece of node.get("single").list()) {
    if (piece.map().has("Sequence")) texts++;
    else {
      const name = piece.only("SpecialToken").get("SpecialToken").only("id", "type_id").get("id").text();
      const token = node.get("special_tokens").get(name);
      for (const id of token.only("id", "ids", "tokens").get("ids").list()) sides[texts > 0 ? 1 : 0].push(id.id());
    }
  }
  if (texts !== 1) throw node.get("single").unsupported(`a template holds the text once: received ${texts} times`);
  return { before: sides[0], after: sides[1] };
}

function refuse(node: NodeReader): never {
  throw node.fail("wrong-type", "expected a token and its id");
}

function readChar(root: NodeReader): CharTokenizer {
  const model = root.get("model").only("type", "vocab", "unk_token");
  const split = root.get("pre_tokenizer");
  const cut = !split.isNull && split.type() === "Split" ? split.get("pattern").map().get("Regex") : undefined;
  if (cut !== EACH_CHARACTER) throw model.unsupported('the type "WordLevel" is supported for single characters only');
  split.only("type", "pattern", "behavior", "invert").get("behavior").oneOf("Isolated");
  split.get("invert").oneOf(false);
  root.get("normalizer").oneOf(null);
  root.get("post_processor").oneOf(null);
  root.get("decoder").only("type").get("type").oneOf("Fuse");
  const addedTokens = readAdded(root);
  const unkToken = model.get("unk_token").text();
  const added = new Map(addedTokens.map(({ content, id }) => [content, id]));
  const characters: string[] = [];
  for (const text of model.get("vocab").map().keys()) {
    const id = model.get("vocab").get(text).id();
    if (added.has(text)) {
      if (added.get(text) !== id) throw model.get("vocab").fail("duplicate-id", `two ids for ${JSON.stringify(text)}`);
    } else if (id !== characters.push(text) - 1)
      throw model
        .get("vocab")
        .fail("unsupported", `ids of characters are 0, 1, 2, …: received ${id} for ${JSON.stringify(text)}`);
  }
  if (unkToken !== "" && !added.has(unkToken) && characters.includes(unkToken))
    throw new FormatError(root.where, "unsupported", `model.unk_token: ${JSON.stringify(unkToken)} is no added token`);
  return new CharTokenizer({ characters, addedTokens, ...(added.has(unkToken) && { unkToken }) });
}
