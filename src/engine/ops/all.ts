// Every op record there is, collected from what the families export: what the generated tests and `chainrule doctor` go through.
import type { Op } from "../program/index.ts";
import * as families from "./families.ts";

/** All op records, each once, by name. */
export const allOps: readonly Op[] = collect(Object.values(families));

function collect(exported: readonly unknown[]): Op[] {
  const ops = new Set<Op>();
  for (const item of exported) if (typeof item === "function" && "op" in item) ops.add(item.op as Op);
  return [...ops].sort((a, b) => (a.name < b.name ? -1 : 1));
}
