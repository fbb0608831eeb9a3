// A model folder: written, read, written again: the same bytes; and what is refused.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { CharTokenizer } from "../../src/data/text/index.ts";
import { tensor } from "../../src/engine/tensor/index.ts";
import { createModel, loadModelFolder, MODEL_FILES, saveModelFolder, type ConfigJson } from "../../src/models/index.ts";

const root = await mkdtemp(join(tmpdir(), "chainrule-folder-"));
afterAll(() => rm(root, { recursive: true, force: true }));

const configs: { readonly [name: string]: ConfigJson } = {
  gpt2: { model_type: "gpt2", vocab_size: 7, n_positions: 8, n_embd: 8, n_layer: 2, n_head: 2 },
  llama: {
    model_type: "llama",
    vocab_size: 7,
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: 8,
  },
};

for (const [name, config] of Object.entries(configs)) {
  test(`${name}: save → load → save gives the same bytes and the same logits`, async () => {
    const model = createModel(config).init(3, { dtype: "int32", shape: [1, 1] });
    const tokenizer = new CharTokenizer({ characters: [..."abcdefg"] });
    const [one, two] = [join(root, `${name}-1`), join(root, `${name}-2`)];
    await saveModelFolder(one, model, { tokenizer });
    const loaded = await loadModelFolder(one);
    await saveModelFolder(two, loaded.model, { tokenizer: loaded.tokenizer });
    for (const file of Object.values(MODEL_FILES))
      expect(await readFile(join(two, file)), file).toEqual(await readFile(join(one, file)));
    const ids = tensor([[1, 5, 2]], { dtype: "int32" });
    expect(loaded.model.call(ids).toNested()).toEqual(model.call(ids).toNested());
    expect([...loaded.tokenizer!.encode("gab")]).toEqual([6, 0, 1]);
  });
}

test("a folder without weights, and weights of another config, are refused with what is wrong", async () => {
  const folder = join(root, "broken");
  await saveModelFolder(folder, createModel(configs["gpt2"]!).init(0, { dtype: "int32", shape: [1, 1] }));
  const path = join(folder, MODEL_FILES.config);
  const config = JSON.parse(await readFile(path, "utf8")) as { [key: string]: unknown };
  await writeFile(path, JSON.stringify({ ...config, n_layer: 3 }));
  await expect(loadModelFolder(folder)).rejects.toThrow(/missing \[h\.2\./);
  await rm(join(folder, MODEL_FILES.weights));
  await expect(loadModelFolder(folder)).rejects.toThrow(/model\.safetensors is missing/);
});
