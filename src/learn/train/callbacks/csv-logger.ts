// CSV logger: one line an epoch, as Keras's CSVLogger.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ArgumentError } from "../../../engine/core/index.ts";
import type { Callback } from "../callback.ts";

/**
 * Writes `epoch` and all values of each epoch to a CSV file, names in alphabetical order.
 * `append` goes on in a file that exists; its columns must be the same.
 */
export function csvLogger(
  path: string,
  options: { readonly separator?: string; readonly append?: boolean } = {},
): Callback {
  const { separator = ",", append = false } = options;
  if (separator.length !== 1)
    throw new ArgumentError("csvLogger", `\`separator\` is one character: received ${JSON.stringify(separator)}`);
  let columns: readonly string[] | undefined;
  return {
    name: "csvLogger",
    onTrainBegin() {
      mkdirSync(dirname(path), { recursive: true });
      columns = undefined;
      if (append && existsSync(path)) columns = readFileSync(path, "utf8").split("\n", 1)[0]!.split(separator).slice(1);
      if (columns === undefined || columns.length === 0) {
        columns = undefined;
        writeFileSync(path, "");
      }
    },
    onEpochEnd(epoch, logs) {
      const names = Object.keys(logs).sort();
      if (columns === undefined) {
        columns = names;
        appendFileSync(path, `${["epoch", ...names].join(separator)}\n`);
      }
      if (names.join() !== columns.join()) {
        throw new ArgumentError(
          "csvLogger",
          `${path} has the columns ${columns.join(", ")}: received ${names.join(", ")}`,
        );
      }
      appendFileSync(path, `${[epoch, ...columns.map((name) => String(logs[name]))].join(separator)}\n`);
    },
  };
}
