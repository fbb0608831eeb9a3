// `chainrule data`: preparing text for training and looking at it; the known data sets, and fetching their original files.
import { join } from "node:path";
import { Command } from "commander";
import type { FetchProgress, KnownName } from "../../data/datasets/index.ts";
import { EXIT, ExitError } from "../failure.ts";
import { columns, outputOf, type Output } from "../output.ts";
import { inspect } from "./data-inspect.ts";
import { prepare } from "./data-prepare.ts";

export function data(): Command {
  const command = new Command("data").description(
    "prepare text for training, look at it; list and fetch known data sets",
  );
  command.addCommand(prepare());
  command.addCommand(inspect());
  command.command("list").description("say which data sets can be fetched").action(list);
  command
    .command("fetch")
    .description("fetch the original files of a data set, checked by hash; goes on where it was interrupted")
    .argument("<name>", "name of the data set, as `chainrule data list` prints it")
    .argument("[folder]", "where to put the files (default: datasets/<name>)")
    .action(fetch);
  return command;
}

async function list(_options: object, command: Command): Promise<void> {
  const { knownDatasets } = await import("../../data/datasets/index.ts");
  const rows = Object.entries(knownDatasets).map(([name, { title, license, files }]) => ({
    name,
    title,
    license,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
  }));
  outputOf(command).result(rows, () => columns(rows.map((row) => [row.name, mib(row.bytes), row.title, row.license])));
}

async function fetch(name: string, folder: string | undefined, _options: object, command: Command): Promise<void> {
  const { fetchDataset } = await import("../../data/datasets/index.ts");
  const output = outputOf(command);
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  process.once("SIGINT", stop);
  try {
    const result = await fetchDataset(name as KnownName, folder ?? join("datasets", name), {
      signal: abort.signal,
      onProgress: progressLine(output),
    });
    output.result(result, ({ folder: where, fetched, present }) =>
      columns([
        ["folder", where],
        ["fetched", fetched.join(" ") || "nothing"],
        ["already there", present.join(" ") || "nothing"],
      ]),
    );
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    output.progress(`\nstopped; go on with: chainrule data fetch ${name} ${folder ?? ""}`.trimEnd());
    throw new ExitError(EXIT.interrupted);
  } finally {
    process.off("SIGINT", stop);
  }
}

/** At most 20 redraws a second on a terminal; elsewhere one line for each file that is complete. */
function progressLine(output: Output): (progress: FetchProgress) => void {
  let drawn = 0;
  return ({ file, received, bytes }) => {
    const done = received === bytes;
    const now = performance.now();
    if (!done && (!process.stderr.isTTY || now - drawn < 50)) return;
    drawn = now;
    const line = `${file} ${mib(received)} of ${mib(bytes)}`;
    if (process.stderr.isTTY) process.stderr.write(`\r${line}\u001b[K${done ? "\n" : ""}`);
    else output.progress(line);
  };
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
