// `chainrule tokenizer`: training on files, ids of texts and texts of ids, and a look at the tokens.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { text as readAll } from "node:stream/consumers";
import { Command, Option } from "commander";
import type { BpeTokenizer, CharTokenizer, EncodeOptions, PatternName, Tokenizer } from "../../data/text/index.ts";
import { ArgumentError } from "../../engine/core/index.ts";
import { wholeNumber } from "../numbers.ts";
import { columns, outputOf, type Output } from "../output.ts";
import { shown, tokenText } from "../token-text.ts";

export function tokenizer(): Command {
  const command = new Command("tokenizer").description("train a tokenizer; encode, decode and look at tokens");
  command
    .command("train")
    .description("train a tokenizer on texts; they may be larger than memory")
    .argument("<files...>", "files, folders or patterns: text, JSON Lines, Parquet, also packed (.gz)")
    .option("--field <name>", "field or column of the text in JSON Lines and Parquet", "text")
    .requiredOption("--out <folder>", "where to write tokenizer.json")
    .addOption(
      new Option("--kind <kind>", "byte-level BPE, or single characters").choices(["bpe", "char"]).default("bpe"),
    )
    .option("--vocab-size <number>", "tokens in all, special ones and the 256 bytes among them (bpe)", wholeNumber)
    .addOption(
      new Option("--pattern <name>", "how text is cut into words (bpe)")
        .choices(["gpt2", "gpt4", "qwen2"])
        .default("gpt2"),
    )
    .option("--special <token...>", "special tokens, such as <|endoftext|>", [])
    .option("--min-frequency <number>", "pairs seen less often are not merged (bpe)", wholeNumber, 0)
    .option("--unk <token>", "a token for unknown characters (char)")
    .action(train);
  const reading = (name: string, description: string): Command =>
    command
      .command(name)
      .description(description)
      .requiredOption("-t, --tokenizer <file>", "tokenizer.json, or the folder it is in");
  reading("encode", "print the ids of a text; without a text, of standard input")
    .argument("[text]", "the text")
    .option("--allow-special", "special tokens in the text become their ids")
    .option("--offsets", "the place of each token too, in UTF-16 units")
    .action(encode);
  reading("decode", "print the text of ids; without ids, of those on standard input")
    .argument("[ids...]", "the ids")
    .option("--skip-special", "leave special tokens out")
    .action(decode);
  reading("inspect", "show a text token by token, in colours; without a text, what the tokenizer is")
    .argument("[text]", "the text; `-` for standard input")
    .option("--allow-special", "special tokens in the text become their ids")
    .action(inspect);
  return command;
}

interface TrainOptions {
  readonly out: string;
  readonly kind: "bpe" | "char";
  readonly field: string;
  readonly vocabSize?: number;
  readonly pattern: PatternName;
  readonly special: string[];
  readonly minFrequency: number;
  readonly unk?: string;
}

async function train(files: string[], options: TrainOptions, command: Command): Promise<void> {
  const { saveTokenizer } = await import("../../data/text/index.ts");
  const output = outputOf(command);
  const began = performance.now();
  const trained = await (options.kind === "char" ? trainCharacters : trainMerges)(files, options, output);
  await mkdir(options.out, { recursive: true });
  const file = join(options.out, "tokenizer.json");
  await saveTokenizer(file, trained);
  const seconds = Math.round(performance.now() - began) / 1000;
  const result = { file, kind: options.kind, vocabSize: trained.vocabSize, special: specialOf(trained), seconds };
  output.result(result, () =>
    columns([
      ["file", file],
      ["kind", options.kind === "char" ? "characters" : `byte-level BPE, pattern ${options.pattern}`],
      ["vocabulary", fewer(trained.vocabSize, options)],
      ["special tokens", specialText(trained)],
      ["seconds", String(seconds)],
    ]),
  );
}

async function trainMerges(files: string[], options: TrainOptions, output: Output): Promise<BpeTokenizer> {
  const { textsOf, trainBpe } = await import("../../data/text/index.ts");
  const { field, vocabSize, pattern, special, minFrequency, unk } = options;
  if (vocabSize === undefined) throw new ArgumentError("tokenizer train", "--vocab-size is needed for --kind bpe");
  if (unk !== undefined)
    throw new ArgumentError("tokenizer train", "--unk is for --kind char: bytes are never unknown");
  const line = progressLine(output);
  return trainBpe(await textsOf(files, { field }), {
    vocabSize,
    pattern,
    minFrequency,
    specialTokens: special,
    onProgress: ({ stage, done, of }) =>
      stage === "count"
        ? line(stage, `counting words: ${(done / 1e6).toFixed(1)} M characters, ${of} different words`)
        : line(stage, `merging: ${done} of ${of} tokens`, done === of),
  });
}

async function trainCharacters(files: string[], options: TrainOptions): Promise<CharTokenizer> {
  const { textsOf, trainChar } = await import("../../data/text/index.ts");
  const { field, vocabSize, special, unk } = options;
  if (vocabSize !== undefined) {
    throw new ArgumentError("tokenizer train", "--vocab-size is for --kind bpe", {
      hint: "a character tokenizer has the characters of its texts",
    });
  }
  return trainChar(await textsOf(files, { field }), {
    specialTokens: special,
    ...(unk !== undefined && { unkToken: unk }),
  });
}

function fewer(size: number, { vocabSize = size }: TrainOptions): string {
  return size < vocabSize ? `${size} (fewer than ${vocabSize}: the texts have no more pairs to merge)` : String(size);
}

/** At most 20 redraws a second on a terminal; elsewhere one line when a stage begins. */
function progressLine(output: Output): (stage: string, text: string, last?: boolean) => void {
  let drawn = 0;
  let told = "";
  return (stage, text, last = false) => {
    const now = performance.now();
    if (!process.stderr.isTTY) {
      if (stage !== told) output.progress(stage === "count" ? "counting words" : "merging");
      told = stage;
      return;
    }
    if (stage !== told && told !== "") process.stderr.write("\n");
    else if (!last && now - drawn < 50) return;
    told = stage;
    drawn = now;
    process.stderr.write(`\r${text}\u001b[K${last ? "\n" : ""}`);
  };
}

interface ReadOptions {
  readonly tokenizer: string;
  readonly allowSpecial?: true;
}

async function load(path: string): Promise<Tokenizer> {
  return (await import("../../data/text/index.ts")).loadTokenizer(path);
}

function allowed({ allowSpecial }: ReadOptions): EncodeOptions {
  return allowSpecial === true ? { allowedSpecial: "all" } : {};
}

async function encode(
  given: string | undefined,
  options: ReadOptions & { readonly offsets?: true },
  command: Command,
): Promise<void> {
  const tokens = await load(options.tokenizer);
  const text = given ?? (await standardInput("a text"));
  const output = outputOf(command);
  if (options.offsets !== true) {
    const ids = Array.from(tokens.encode(text, allowed(options)));
    output.result({ ids }, () => ids.join(" "));
    return;
  }
  const { ids, start, end } = tokens.encodeWithOffsets(text, allowed(options));
  output.result({ ids: Array.from(ids), start: Array.from(start), end: Array.from(end) }, () =>
    columns(
      Array.from(ids, (id, i) => [String(id), `${start[i]}–${end[i]}`, JSON.stringify(shown(tokens.tokenBytes(id)))]),
    ),
  );
}

async function decode(
  given: string[],
  options: ReadOptions & { readonly skipSpecial?: true },
  command: Command,
): Promise<void> {
  const tokens = await load(options.tokenizer);
  const words =
    given.length > 0 ? given : (await standardInput("ids")).split(/[\s,[\]]+/).filter((word) => word !== "");
  const ids = words.map((word) => {
    if (/^\d+$/.test(word)) return Number(word);
    throw new ArgumentError("tokenizer decode", `ids are whole numbers: received ${JSON.stringify(word)}`);
  });
  const text = tokens.decode(ids, { skipSpecial: options.skipSpecial === true });
  outputOf(command).result({ text }, () => text);
}

async function inspect(given: string | undefined, options: ReadOptions, command: Command): Promise<void> {
  const tokens = await load(options.tokenizer);
  const output = outputOf(command);
  if (given === undefined) {
    const about = await aboutTokenizer(tokens);
    output.result(about, () =>
      columns([
        ["kind", about.kind],
        ["vocabulary", String(about.vocabSize)],
        ["merges", String(about.merges)],
        ["special tokens", specialText(tokens)],
        ["longest tokens", about.longest.map((token) => JSON.stringify(token)).join(" ")],
      ]),
    );
    return;
  }
  const text = given === "-" ? await standardInput("a text") : given;
  const { ids, start, end } = tokens.encodeWithOffsets(text, allowed(options));
  const bytes = Buffer.byteLength(text);
  const list = Array.from(ids, (id, i) => ({
    id,
    start: start[i]!,
    end: end[i]!,
    bytes: Buffer.from(tokens.tokenBytes(id)).toString("base64"),
  }));
  const bytesPerToken = ids.length === 0 ? 0 : Math.round((1000 * bytes) / ids.length) / 1000;
  output.result({ tokens: list, bytes, bytesPerToken }, () =>
    [
      tokenText(tokens, ids, output.colors),
      output.colors.dim(`${ids.length} tokens, ${bytes} bytes, ${bytesPerToken} bytes a token`),
    ].join("\n"),
  );
}

interface About {
  readonly kind: string;
  readonly vocabSize: number;
  readonly merges: number;
  readonly special: Record<string, number>;
  readonly longest: readonly string[];
}

async function aboutTokenizer(tokens: Tokenizer): Promise<About> {
  const { BpeTokenizer } = await import("../../data/text/index.ts");
  const bpe = tokens instanceof BpeTokenizer ? tokens.model : undefined;
  const list = (bpe?.tokens ?? []).filter((bytes) => bytes !== undefined);
  const longest = list.toSorted((a, b) => b.length - a.length).slice(0, 5);
  return {
    kind: bpe === undefined ? "characters" : `byte-level BPE, pattern ${bpe.pattern}`,
    vocabSize: tokens.vocabSize,
    merges: (bpe?.merges.length ?? 0) / 2,
    special: specialOf(tokens),
    longest: longest.map(shown),
  };
}

// Texts of files as keys: an object without a prototype takes any of them.
function specialOf(tokens: Tokenizer): Record<string, number> {
  const special = Object.create(null) as Record<string, number>;
  for (const [text, id] of tokens.specialTokens) special[text] = id;
  return special;
}

function specialText({ specialTokens }: Tokenizer): string {
  return [...specialTokens].map(([text, id]) => `${text} = ${id}`).join(", ") || "none";
}

async function standardInput(what: string): Promise<string> {
  if (process.stdin.isTTY)
    throw new ArgumentError("tokenizer", `${what} is needed, as an argument or on standard input`);
  return readAll(process.stdin);
}
