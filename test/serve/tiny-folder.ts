// Model folders made on the spot: random weights wide enough that texts differ, one character a token.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CharTokenizer } from "../../src/data/text/index.ts";
import { createModel, saveModelFolder, type ConfigJson } from "../../src/models/index.ts";

/** Printable ASCII and the line's end. */
export const characters: readonly string[] = [
  "\n",
  ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)),
];
export const END = "<|end|>";
export const context = 96;

export function tinyTokenizer(): CharTokenizer {
  return new CharTokenizer({
    characters,
    addedTokens: [
      { id: 96, content: END, special: true },
      { id: 97, content: "<|user|>", special: true },
      { id: 98, content: "<|assistant|>", special: true },
    ],
  });
}

export const tinyConfig: ConfigJson = {
  model_type: "llama",
  vocab_size: 99,
  hidden_size: 24,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: context,
  initializer_range: 0.3,
};

/** A temporary model folder; `files` are written beside it. `remove` deletes it. */
export async function tinyFolder(
  files: { readonly [name: string]: unknown } = {},
  config: ConfigJson = tinyConfig,
): Promise<{ readonly folder: string; readonly remove: () => Promise<void> }> {
  const root = await mkdtemp(join(tmpdir(), "chainrule-serve-"));
  const folder = join(root, "tiny");
  const model = createModel(config).init(3, { dtype: "int32", shape: [1, 1] });
  await saveModelFolder(folder, model, { tokenizer: tinyTokenizer() });
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  return { folder, remove: () => rm(root, { recursive: true, force: true }) };
}
