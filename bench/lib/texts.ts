// Text for the benchmarks of tokenizers: code of the installed packages, and books, manuals and a dictionary in many
// languages from Debian's packages, fetched once into .cache/texts by apt. Prints what it is made of.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const packages = ["debian-handbook", "manpages-zh", "manpages-ja", "dict-gcide"];

/** Where the texts lie. */
export interface Texts {
  /** About 100 MB: everything there is, up to that. */
  readonly train: string;
  /** 10 MB: code, English, Chinese and Japanese, other languages, emoji; a JSON list of documents of about 8 kB. */
  readonly mixed: string;
}

interface Part {
  readonly name: string;
  readonly text: string;
}

/** Finds or makes the texts. */
export function benchTexts(root: string): Texts {
  const folder = join(root, ".cache/texts");
  const texts = { train: join(folder, "train.txt"), mixed: join(folder, "mixed.json") };
  if (existsSync(texts.train) && existsSync(texts.mixed)) return texts;
  mkdirSync(folder, { recursive: true });
  const parts = gather(root, folder);
  for (const { name, text } of parts) console.log(`${name}: ${megabytes(text)} MB`);
  const train = parts.map(({ text }) => text).join("\n");
  const bytes = Buffer.from(train).subarray(0, 1e8);
  writeFileSync(texts.train, new TextDecoder().decode(bytes, { stream: true }));
  const [code, english, eastern, others] = parts.map(({ text }) => text) as [string, string, string, string];
  const mixed = [cut(code, 4e6), cut(english, 2.5e6), cut(eastern, 2.5e6), cut(others, 0.8e6), emoji(0.2e6)];
  const documents = mixed.flatMap((text) => text.match(/[^]{1,8000}(?=\s|$)|[^]{1,8000}/gu)!);
  writeFileSync(texts.mixed, JSON.stringify(documents));
  console.log(`train.txt: ${bytes.length / 1e6} MB; mixed.json: ${megabytes(documents.join(""))} MB`);
  return texts;
}

function gather(root: string, folder: string): Part[] {
  if (!existsSync(join(folder, "usr"))) fetch(folder);
  const html = filesOf(join(folder, "usr/share/doc/debian-handbook/html"), /\.html$/);
  const manuals = filesOf(join(folder, "usr/share/man"), /\.gz$/);
  const dictionary = filesOf(join(folder, "usr/share/dictd"), /\.dz$/);
  const eastern = /\/(zh|ja|ko)[-_]/;
  const code = filesOf(join(root, "node_modules"), /\.(js|mjs|cjs|ts|md|css)$/).filter(
    (path) => statSync(path).size < 1e6 && !path.includes("js-tiktoken"),
  );
  const pages = (list: readonly string[]): string => list.map((path) => stripped(read(path))).join("\n");
  return [
    { name: "code of installed packages", text: code.map(read).join("\n") },
    {
      name: "English: dictionary and handbook",
      text: `${pages(html.filter((path) => path.includes("/en-US/")))}\n${dictionary.map(unpacked).join("\n")}`,
    },
    {
      name: "Chinese, Japanese, Korean: handbook and manuals",
      text: `${pages(html.filter((path) => eastern.test(path)))}\n${manuals.map(unpacked).join("\n")}`,
    },
    {
      name: "other languages: handbook",
      text: pages(html.filter((path) => !eastern.test(path) && !path.includes("/en-US/")).toSorted(byPage)),
    },
  ];
}

// Pages of all languages in turn, so that a part of it has all of them.
function byPage(a: string, b: string): number {
  const page = (path: string): string => path.split("/").toReversed().join("/");
  return page(a) < page(b) ? -1 : 1;
}

function fetch(folder: string): void {
  const run = (file: string, args: string[]): void => {
    const { status, stderr, error } = spawnSync(file, args, { cwd: folder, encoding: "utf8" });
    if (status !== 0) throw new Error(`${file} ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
  };
  run("apt-get", ["download", ...packages]);
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".deb"))) run("dpkg-deb", ["-x", file, "."]);
}

function filesOf(folder: string, pattern: RegExp): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .toSorted();
}

// Bytes that are no UTF-8 become U+FFFD: this is text to measure with, not data to keep.
function read(path: string): string {
  return readFileSync(path, "utf8");
}

function unpacked(path: string): string {
  return gunzipSync(readFileSync(path)).toString("utf8");
}

function stripped(html: string): string {
  return html
    .replace(/<[^>]*>/g, "")
    .replace(/&(nbsp|#160);/g, " ")
    .replace(/\n{2,}/g, "\n");
}

function emoji(bytes: number): string {
  const faces = ["😀", "👍🏽", "👩‍👩‍👧", "🇩🇪", "🧠", "☃️", "🎉", "❤️", "🤷‍♀️", "1️⃣"];
  const words = ["ok", "see you", "nice", "lol", "danke", "thanks!!", "行", "はい"];
  const lines: string[] = [];
  for (let i = 0, size = 0; size < bytes; i++) {
    const line = `${words[(i * 7) % words.length]} ${faces[(i * 3) % faces.length]}${faces[(i * 11) % faces.length]}`;
    lines.push(line);
    size += Buffer.byteLength(line) + 1;
  }
  return lines.join("\n");
}

// The beginning of a text, so many bytes of it.
function cut(text: string, bytes: number): string {
  return new TextDecoder().decode(Buffer.from(text.slice(0, bytes)).subarray(0, bytes), { stream: true });
}

function megabytes(text: string): number {
  return Math.round(Buffer.byteLength(text) / 1e5) / 10;
}
