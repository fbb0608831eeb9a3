// Reads layers.ts and the rooms it describes, for the scripts. Node 20 cannot import TypeScript, so vite turns it first.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { transformWithOxc } from "vite";
import { root } from "./run.mjs";

/** The rows of layers.ts. */
export async function readLayers() {
  const path = join(root, "layers.ts");
  const { code } = await transformWithOxc(readFileSync(path, "utf8"), path, { sourcemap: false });
  const { layers } = await import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`);
  return layers;
}

/** Source files of a layer, tests and rooms inside it left out, as paths relative to its folder; those of subfolders last. */
export function sourceFiles(layer, layers) {
  const folder = join(root, "src", layer.folder);
  if (!existsSync(folder)) return [];
  const inner = layers.filter((other) => other.folder.startsWith(`${layer.folder}/`));
  return readdirSync(folder, { recursive: true })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".ts") && !/\.(test|test-d)\.ts$/.test(path))
    .filter((path) => !inner.some((other) => `${layer.folder}/${path}`.startsWith(`${other.folder}/`)))
    .toSorted((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1));
}

/** The intent of a file: its first comment line. */
export function intent(layer, path) {
  const first = readFileSync(join(root, "src", layer.folder, path), "utf8").split("\n", 1)[0];
  return first.startsWith("//") ? first.slice(2).trim() : "";
}

/** Whether a layer is a subpath export: it has a barrel and is not internal. */
export function isExported(layer) {
  return layer.internal !== true && existsSync(join(root, "src", layer.folder, "index.ts"));
}

function depth(path) {
  return path.split("/").length;
}
