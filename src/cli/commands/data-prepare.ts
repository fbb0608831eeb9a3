// `chainrule data prepare`: documents and a tokenizer become a folder of token shards.
import { Command, Option } from "commander";
import type {
  DocumentFormat,
  InvalidUtf8,
  QualityLimits,
  Separator,
  TokenManifest,
} from "../../data/datasets/index.ts";
import type { PrepareOptions, PrepareProgress } from "../../data/text/index.ts";
import { EXIT, ExitError } from "../failure.ts";
import { share, wholeNumber } from "../numbers.ts";
import { columns, outputOf, type Output } from "../output.ts";

interface Options {
  readonly tokenizer: string;
  readonly out: string;
  readonly format?: DocumentFormat;
  readonly separator?: string;
  readonly blankLines?: number;
  readonly field?: string;
  readonly skipBad: boolean;
  readonly invalidUtf8: InvalidUtf8;
  readonly valFraction: number;
  readonly dedup: "exact" | "near" | "none";
  readonly nearThreshold: number;
  readonly quality: boolean;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minLetters?: number;
  readonly maxRepeatedLines?: number;
  readonly maxRepeatedWords?: number;
  readonly maxControl?: number;
  readonly maxLongWords?: number;
  readonly begin?: string;
  readonly end?: string | false;
  readonly shardTokens?: number;
  readonly workers?: number;
  readonly overwrite: boolean;
}

export function prepare(): Command {
  return new Command("prepare")
    .description("read documents, remove duplicates, encode them and write token shards to train on")
    .argument("<files...>", "files, folders or patterns: text, JSON Lines, Parquet, each also as .gz")
    .requiredOption("-t, --tokenizer <file>", "tokenizer.json, or the folder it is in")
    .requiredOption("-o, --out <folder>", "where to write the shards")
    .addOption(new Option("--format <format>", "read files as").choices(["text", "jsonl", "parquet"]))
    .option("--separator <text>", "what ends a document in text files, such as <|endoftext|> (\\n, \\t are understood)")
    .addOption(
      new Option("--blank-lines <number>", "so many blank lines end a document in text files")
        .argParser(wholeNumber)
        .conflicts("separator"),
    )
    .option("--field <name>", "field or column of the text (default: text)")
    .option("--skip-bad", "leave out rows without a text, counted", false)
    .addOption(
      new Option("--invalid-utf8 <what>", "bytes that are no UTF-8").choices(["error", "replace"]).default("error"),
    )
    .option("--val-fraction <share>", "documents held out as `val`, each by its own hash", share, 0)
    .addOption(
      new Option("--dedup <kind>", "which duplicates are removed").choices(["exact", "near", "none"]).default("exact"),
    )
    .option("--near-threshold <share>", "similarity from which a document is a near-duplicate", share, 0.8)
    .option("--quality", "limits that prose and code keep: letters, repetitions, control characters, blobs", false)
    .option("--min-length <characters>", "shorter documents are removed", wholeNumber)
    .option("--max-length <characters>", "longer documents are removed", wholeNumber)
    .option("--min-letters <share>", "smallest share of letters", share)
    .option("--max-repeated-lines <share>", "largest share of text in repeated lines", share)
    .option("--max-repeated-words <share>", "largest share of repeated runs of five words", share)
    .option("--max-control <share>", "largest share of control characters", share)
    .option("--max-long-words <share>", "largest share of text in words of more than 100 characters", share)
    .option("--begin <token>", "special token before each document")
    .option("--end <token>", "special token behind each document (default: <|endoftext|> where there is one)")
    .option("--no-end", "no token behind documents")
    .option("--shard-tokens <number>", "tokens of a shard (default: 33554432)", wholeNumber)
    .option("--workers <number>", "threads (default: one for each core); the files do not depend on it", wholeNumber)
    .option("--overwrite", "replace what an earlier preparation left in the folder", false)
    .action(run);
}

async function run(files: string[], options: Options, command: Command): Promise<void> {
  const { loadTokenizer, prepareCorpus } = await import("../../data/text/index.ts");
  const { qualityLimits } = await import("../../data/datasets/index.ts");
  const output = outputOf(command);
  const tokenizer = await loadTokenizer(options.tokenizer);
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  process.once("SIGINT", stop);
  const began = performance.now();
  const line = progressLine(output, began);
  try {
    const manifest = await prepareCorpus(files, tokenizer, {
      ...settings(options, qualityLimits),
      signal: abort.signal,
      onProgress: line.show,
    });
    line.end();
    const seconds = (performance.now() - began) / 1000;
    output.result({ folder: options.out, seconds, ...manifest }, () => report(options.out, manifest, seconds));
  } catch (error) {
    line.end();
    if (!abort.signal.aborted) throw error;
    output.progress("stopped; what was written is no whole corpus: the same command begins again");
    throw new ExitError(EXIT.interrupted);
  } finally {
    process.off("SIGINT", stop);
  }
}

function settings(options: Options, preset: QualityLimits): PrepareOptions {
  const { minLength, maxLength, minLetters, maxRepeatedLines, maxRepeatedWords, maxControl, maxLongWords } = options;
  const { format, field, skipBad, invalidUtf8, begin, end, shardTokens, workers } = options;
  const { out, valFraction, dedup, nearThreshold, overwrite } = options;
  const given = { minLength, maxLength, minLetters, maxRepeatedLines, maxRepeatedWords, maxControl, maxLongWords };
  const separator = separatorOf(options);
  return {
    out,
    valFraction,
    dedup,
    nearThreshold,
    overwrite,
    documents: { skipBad, invalidUtf8, ...present({ format, field, separator }) },
    limits: { ...(options.quality ? preset : {}), ...present(given) },
    ...present({ begin, shardTokens, workers }),
    // Commander says true where neither --end nor --no-end was given.
    ...(end === false ? { end: null } : typeof end === "string" ? { end } : {}),
  };
}

function separatorOf({ separator, blankLines }: Options): Separator | undefined {
  if (blankLines !== undefined) return { blankLines };
  return separator?.replace(/\\([nt\\])/g, (_, c: string) => (c === "n" ? "\n" : c === "t" ? "\t" : "\\"));
}

/** The fields that have a value. */
function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** At most 20 redraws a second on a terminal; elsewhere a line every ten seconds. */
export function progressLine(
  output: Output,
  began: number,
): { show: (progress: PrepareProgress) => void; end: () => void } {
  let drawn = 0;
  let open = false;
  return {
    show({ readBytes, totalBytes, kept, documents, textBytes, tokens }) {
      const now = performance.now();
      if (now - drawn < (process.stderr.isTTY ? 50 : 10_000)) return;
      drawn = now;
      const seconds = (now - began) / 1000;
      const part = totalBytes === 0 ? 0 : Math.min(1, readBytes / totalBytes);
      const left = part === 0 ? "?" : String(Math.ceil((seconds / part) * (1 - part)));
      const text = `${Math.round(100 * part)} %  ${kept} of ${documents} documents  ${count(tokens)} tokens  ${(textBytes / 1e6 / seconds).toFixed(1)} MB/s  ETA ${left}s`;
      if (process.stderr.isTTY) process.stderr.write(`\r${text}\u001b[K`);
      else output.progress(text);
      open = process.stderr.isTTY;
    },
    end() {
      if (open) process.stderr.write("\n");
      open = false;
    },
  };
}

function report(folder: string, { splits, about, begin, end }: TokenManifest, seconds: number): string {
  const read = about["read"] as { readonly [name: string]: number };
  const removed = Object.entries(about["removed"] as { [reason: string]: { documents: number } });
  const rate = (read["textBytes"]! / 1e6 / seconds).toFixed(1);
  const noted = (["badRows", "replacedUtf8", "ignored"] as const).filter((name) => read[name]! > 0);
  const names = { badRows: "bad rows", replacedUtf8: "replaced bytes", ignored: "ignored files" };
  return columns([
    ["folder", folder],
    ["read", `${read["documents"]} documents of ${read["files"]} files, ${rate} MB/s`],
    ...noted.map((name) => [names[name], String(read[name])]),
    ...removed.map(([reason, { documents }]) => ["removed", `${documents} ${reason}`]),
    ["marks", `before: ${begin?.token ?? "none"}, behind: ${end?.token ?? "none"}`],
    ...Object.entries(splits).map(([name, { tokens, documents, files }]) => [
      name,
      `${tokens} tokens in ${documents} documents, ${files.length} shards`,
    ]),
  ]);
}

function count(n: number): string {
  return n < 1e6 ? String(n) : `${(n / 1e6).toFixed(1)} M`;
}
