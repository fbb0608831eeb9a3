// Tokenizers: training on 100 MB, encoding 10 MB of mixed text and 100,000 random strings with GPT-2's ranks.
//
//   npm run bench -- tokenizer [--peers] [--vocab 32000] [--rounds 3]
//
// With --peers also Hugging Face's tokenizers, of the first Python in CHAINRULE_PEER_PYTHON (or on the path) that has it:
// encoding on one thread, training on as many as it likes. Unequal ids or merges are an error.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Measured, Place } from "./lib/contest.ts";
import { probe } from "./lib/probe.ts";
import { ownRow } from "./lib/rows.ts";
import { benchTexts } from "./lib/texts.ts";
import type { Tokenizing } from "./lib/tokenizing.ts";

export const about = "tokenizers: training on 100 MB, encoding against js-tiktoken and Hugging Face's tokenizers";

interface Options {
  readonly peers?: boolean;
  readonly vocab?: string;
  readonly rounds?: string;
}

const SELF = { threads: 1, device: "javascript" };

export default async function measure(
  { peers = false, vocab = "32000", rounds = "3" }: Options,
  { root }: Place,
): Promise<Measured[]> {
  const { train, mixed } = benchTexts(root);
  const bytes = Buffer.byteLength((JSON.parse(readFileSync(mixed, "utf8")) as string[]).join(""));
  const ours = (...args: string[]): Promise<Tokenizing> => probe<Tokenizing>("tokenizing", { root, args });
  const saved = (name: string): string => join(root, ".cache/texts", `${name}.json`);
  const python = peers ? peer(root) : undefined;
  const rows: Measured[] = [];

  const trained = await ours("train", train, vocab, saved("trained"));
  const theirs = python?.({}, "train", train, vocab);
  same("merges", trained, theirs);
  const training = `train BPE, ${vocab} tokens, ${readFileSync(train).length / 1e6} MB`;
  rows.push(
    row(training, "s", trained.seconds, theirs && { ...theirs, value: theirs.seconds, threads: "all threads" }),
  );
  const memory = theirs && { ...theirs, value: theirs.peakBytes / 2 ** 20, threads: "all threads" };
  rows.push(row("train BPE: peak memory", "MiB", trained.peakBytes / 2 ** 20, memory));

  const speed = (result: Tokenizing): number => bytes / 1e6 / result.seconds;
  const name = `encode, GPT-2's ranks, ${(bytes / 1e6).toFixed(1)} MB of mixed text`;
  const encoded = await ours("encode", mixed, "ours", rounds);
  const tiktoken = await ours("encode", mixed, "js-tiktoken", "1");
  same("ids", encoded, tiktoken);
  const against = (value: number) => ({ name: "js-tiktoken", version: version(root), threads: "1 thread", value });
  rows.push(rate(name, "MB/s", speed(encoded), against(speed(tiktoken))));
  if (python !== undefined) {
    await ours("save", saved("gpt2"));
    const one = { RAYON_NUM_THREADS: "1", TOKENIZERS_PARALLELISM: "false" };
    const rust = python(one, "encode", mixed, saved("gpt2"), rounds);
    same("ids", encoded, rust);
    rows.push(rate(name, "MB/s", speed(encoded), { ...rust, threads: "1 thread", value: speed(rust) }));
  }

  const random = await ours("encode", "random", "ours", rounds);
  const randomTiktoken = await ours("encode", "random", "js-tiktoken", "1");
  same("ids of random strings", random, randomTiktoken);
  const perSecond = ({ seconds }: Tokenizing): number => 100_000 / seconds;
  rows.push(rate("encode 100,000 random strings", "strings/s", perSecond(random), against(perSecond(randomTiktoken))));
  return rows;
}

interface Peer {
  readonly name?: string;
  readonly version?: string;
  readonly threads: string;
  readonly value: number;
}

// Less is better.
function row(name: string, unit: string, ours: number, peer: Peer | undefined): Measured {
  const measured = rate(name, unit, ours, peer);
  return { ...measured, ratio: peer === undefined ? null : peer.value / ours };
}

// More is better.
function rate(name: string, unit: string, ours: number, peer: Peer | undefined): Measured {
  const own = ownRow(name, unit, ours, SELF);
  if (peer === undefined) return own;
  const { name: who = "Hugging Face tokenizers", version = "", threads, value } = peer;
  return { ...own, peer: { name: who, version: `${version}, ${threads}`, value }, ratio: ours / value };
}

function same(what: string, a: Tokenizing, b: Tokenizing | undefined): void {
  if (b !== undefined && a.hash !== b.hash) throw new Error(`${what} differ: ${a.count} of ours, ${b.count} of theirs`);
}

function version(root: string): string {
  const text = readFileSync(join(root, "node_modules/js-tiktoken/package.json"), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

type Python = (env: NodeJS.ProcessEnv, ...args: string[]) => Tokenizing;

function peer(root: string): Python | undefined {
  const named = (process.env["CHAINRULE_PEER_PYTHON"] ?? "python3").split(",").filter((file) => file !== "");
  const file = named.find((python) => spawnSync(python, ["-c", "import tokenizers"]).status === 0);
  if (file === undefined) {
    console.log(`Hugging Face's tokenizers are not measured: none of ${named.join(", ")} has them`);
    return undefined;
  }
  return (env, ...args) => {
    const script = join(root, "bench/peers/tokenizing.py");
    const { status, stdout, stderr } = spawnSync(file, [script, ...args], {
      encoding: "utf8",
      env: { ...process.env, ...env },
    });
    if (status !== 0) throw new Error(`${file}: ${stderr.trim().slice(-500)}`);
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as Tokenizing;
  };
}
