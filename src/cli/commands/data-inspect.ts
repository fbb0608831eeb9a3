// `chainrule data inspect`: what a folder of token shards holds, and how it will be packed.
import { Command, Option } from "commander";
import type { PackingReport, TokenManifest, TokenStore } from "../../data/datasets/index.ts";
import type { Tokenizer } from "../../data/text/index.ts";
import { wholeNumber } from "../numbers.ts";
import { columns, outputOf, type Output } from "../output.ts";
import { tokenText } from "../token-text.ts";

interface Options {
  readonly split: string;
  readonly time: number;
  readonly documents: "joined" | "apart";
  readonly packing: "contiguous" | "best-fit";
  readonly samples: number;
  readonly seed: number;
  readonly verify: boolean;
}

/** What `--json` gives. */
interface Inspection {
  readonly folder: string;
  readonly split: string;
  readonly tokens: number;
  readonly documents: number;
  readonly vocabSize: number;
  readonly shards: readonly { readonly name: string; readonly tokens: number; readonly documents: number }[];
  /** Documents by length in tokens: from `from` to below 2 · `from`; 0 for empty ones. */
  readonly lengths: {
    readonly shortest: number;
    readonly mean: number;
    readonly longest: number;
    readonly histogram: readonly { readonly from: number; readonly documents: number }[];
  };
  readonly packing: PackingReport;
  readonly about: TokenManifest["about"];
  readonly samples: readonly { readonly document: number; readonly ids: readonly number[]; readonly text: string }[];
}

const SAMPLE_TOKENS = 80;

export function inspect(): Command {
  return new Command("inspect")
    .description("show what prepared data holds: documents, tokens, lengths, padding, what was removed, samples")
    .argument("<folder>", "the folder that `chainrule data prepare` wrote")
    .option("--split <name>", "which part", "train")
    .option("--time <number>", "context length to pack for", wholeNumber, 256)
    .addOption(
      new Option("--documents <how>", "attention across documents").choices(["joined", "apart"]).default("joined"),
    )
    .addOption(
      new Option("--packing <how>", "of documents apart").choices(["contiguous", "best-fit"]).default("contiguous"),
    )
    .option("--samples <number>", "documents to show", wholeNumber, 3)
    .option("--seed <number>", "which documents are shown", wholeNumber, 0)
    .option("--verify", "hold every file against its hash", false)
    .action(run);
}

async function run(folder: string, options: Options, command: Command): Promise<void> {
  const datasets = await import("../../data/datasets/index.ts");
  const { loadTokenizer } = await import("../../data/text/index.ts");
  const { foldIn, keyOf, permutation } = await import("../../engine/core/index.ts");
  const output = outputOf(command);
  const { split, time, documents, packing, verify } = options;
  const shards = await datasets.openTokenShards(folder, { split, verify });
  try {
    const tokenizer = await loadTokenizer(folder);
    const order = permutation(foldIn(keyOf(options.seed), 0), shards.documents);
    const samples = Array.from(order.subarray(0, options.samples), (document) => {
      const ids = datasets.documentTokens(shards, document).subarray(0, SAMPLE_TOKENS);
      return { document, ids: [...ids], text: tokenizer.decode(ids) };
    });
    const files = shards.manifest.splits[split]!.files;
    const inspection: Inspection = {
      folder,
      split,
      tokens: shards.tokens,
      documents: shards.documents,
      vocabSize: shards.vocabSize,
      shards: files.map(({ name, tokens, documents: n }) => ({ name, tokens, documents: n })),
      lengths: lengthsOf(shards),
      packing: datasets.tokenWindows(shards, { time, documents, packing }).report,
      about: shards.manifest.about,
      samples,
    };
    output.result(inspection, (data) => print(data, options, { tokenizer, output }));
  } finally {
    shards.close();
  }
}

function lengthsOf(store: TokenStore): Inspection["lengths"] {
  // A length has at most 54 binary digits.
  const bins = new Float64Array(55);
  let [shortest, longest] = [Infinity, 0];
  for (let d = 0; d < store.documents; d++) {
    const length = store.start(d + 1) - store.start(d);
    const bin = length === 0 ? 0 : 1 + Math.floor(Math.log2(length));
    bins[bin]!++;
    shortest = Math.min(shortest, length);
    longest = Math.max(longest, length);
  }
  const histogram = Array.from(bins, (documents, bin) => ({ from: bin === 0 ? 0 : 2 ** (bin - 1), documents }));
  return {
    shortest: store.documents === 0 ? 0 : shortest,
    mean: store.documents === 0 ? 0 : store.tokens / store.documents,
    longest,
    histogram: histogram.slice(
      bins.findIndex((n) => n > 0),
      bins.findLastIndex((n) => n > 0) + 1,
    ),
  };
}

function print(
  data: Inspection,
  options: Options,
  { tokenizer, output }: { readonly tokenizer: Tokenizer; readonly output: Output },
): string {
  const { colors } = output;
  const { packing, lengths, about } = data;
  const removed = Object.entries((about["removed"] ?? {}) as { [reason: string]: { documents: number } });
  const most = Math.max(...lengths.histogram.map(({ documents }) => documents));
  const percent = (x: number): string => `${x.toFixed(2)} %`;
  const how = options.documents === "joined" ? "documents joined" : `documents apart, ${options.packing}`;
  return [
    columns([
      [data.split, `${data.tokens} tokens in ${data.documents} documents, ${data.shards.length} shards`],
      ["vocabulary", String(data.vocabSize)],
      ["borders", `${Math.max(0, data.documents - 1)} between documents`],
      ["length", `${lengths.shortest} to ${lengths.longest} tokens, ${lengths.mean.toFixed(1)} in the mean`],
      ["removed", removed.map(([reason, { documents }]) => `${documents} ${reason}`).join(", ") || "nothing"],
    ]),
    "",
    colors.bold("Documents by length in tokens"),
    columns(
      lengths.histogram.map(({ from, documents }) => [
        from === 0 ? "0" : `${from}–${2 * from - 1}`,
        String(documents),
        "█".repeat(Math.ceil((30 * documents) / most)),
      ]),
    ),
    "",
    colors.bold(`Windows of ${packing.time}, ${how}`),
    columns([
      ["windows", String(packing.windows)],
      ["padding", percent(packing.paddingPercent)],
      ["cut", percent(packing.cutPercent)],
      ["continued", `${packing.continued} documents go on in another window`],
      ["without pairs", `${packing.withoutPairs} documents have nothing to predict`],
    ]),
    ...data.samples.flatMap(({ document, ids }) => [
      "",
      colors.bold(`Document ${document}`) + colors.dim(`, ${ids.length} tokens from its beginning`),
      tokenText(tokenizer, ids, colors),
    ]),
  ].join("\n");
}
