// Plans against what is true: the memory of the real step's plan, the tokens of prepared files, the time of real steps.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flattenTensors, type Tensor } from "../../src/engine/tensor/index.ts";
import { checkRecipe, plan, settingsOf, type Plan, type Recipe, type RecipeInput } from "../../src/tasks/index.ts";
import { planData } from "../../src/tasks/pretrain/plan-data.ts";
import { withChange } from "../../src/tasks/pretrain/plan-options.ts";
import { programOf, trainingOf, withLayers } from "../../src/tasks/pretrain/plan-program.ts";

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "chainrule-plan-test-"))));
afterAll(() => rm(folder, { recursive: true }));

function recipe(changes: Partial<RecipeInput> = {}): Recipe {
  return checkRecipe({
    out: join(folder, "run"),
    data: { text: "shakespeare" },
    model: { preset: "shakespeare-tiny" },
    training: { steps: 200, batch: 8 },
    ...changes,
  });
}

const bytes = (tensors: readonly Tensor[]): number =>
  tensors.reduce((sum, { size, dtype }) => sum + (dtype === "bfloat16" ? 2 : 4) * size, 0);

describe("the memory of a plan", () => {
  it.each([
    { name: "plain", change: {} },
    { name: "accumulated", change: { "training.accumulate": 4 } },
    { name: "with checkpoints of blocks", change: { "model.checkpointBlocks": true } },
    { name: "with the loss in pieces", change: { "training.lossChunk": 64 } },
    {
      name: "kept in 16 bits",
      change: { "training.storage.weights": "bfloat16", "training.storage.states": "bfloat16" },
    },
    { name: "with documents apart", change: { "data.documents": "apart" } },
  ])("is that of the real step, $name", ({ change }) => {
    const changed = withChange(recipe(), change);
    const settings = settingsOf(changed, 65);
    const { memory, cost } = programOf(changed, settings, { evaluated: true });
    const { step, state, batch, model } = trainingOf(changed, settings);
    expect(memory.arena).toBe(step.lower(state, batch).plan.arenaBytes);
    expect(memory.weights).toBe(bytes(Object.values(state.params)));
    expect(memory.optimizer).toBe(bytes(flattenTensors(state.optState).tensors));
    expect(cost.parameters).toBe(model.count());
    expect(memory.evaluation).toBeGreaterThan(0);
    expect(memory.evaluation).toBeLessThan(memory.arena);
  });

  it("counts what 8 bits save", () => {
    const eight = withChange(recipe({ model: { preset: "shakespeare-cpu" } }), {
      "training.optimizer.name": "adamw8bit",
    });
    const settings = settingsOf(eight, 65);
    const { memory } = programOf(eight, settings, { evaluated: false });
    const { state } = trainingOf(eight, settings);
    expect(memory.optimizer).toBe(bytes(flattenTensors(state.optState).tensors));
    expect(memory.optimizer).toBeLessThan(memory.weights);
    expect(memory.evaluation).toBe(0);
  });

  it("plans a model no machine of ours holds", () => {
    const large = checkRecipe({
      out: "runs/large",
      data: { text: "shakespeare" },
      model: { preset: "gpt2-xl" },
      training: { steps: 1, batch: 1, time: 64 },
    });
    const settings = withLayers(settingsOf(large, 65), 4);
    const before = process.memoryUsage.rss();
    const { memory } = programOf(large, settings, { evaluated: false });
    expect(memory.weights + memory.optimizer).toBeGreaterThan(1.4e9);
    expect(process.memoryUsage.rss() - before).toBeLessThan(4e8);
  });
});

describe("plan", () => {
  let whole: Plan;
  beforeAll(async () => void (whole = await plan(recipe())));

  it("tells parameters, operations and tokens", () => {
    const { parameters, flops, tokens, layers, data } = whole;
    // Table and positions, two blocks of 12 C² + 13 C, the last norm.
    expect(parameters).toBe(65 * 64 + 32 * 64 + 2 * (12 * 64 ** 2 + 13 * 64) + 2 * 64);
    expect(layers).toBe(2);
    expect(flops.total).toBe(200 * flops.step);
    expect(tokens).toMatchObject({ step: 256, total: 51_200, optimal: 20 * parameters });
    expect(tokens.epochs).toBeCloseTo(51_200 / data.trainTokens, 10);
    expect(data).toMatchObject({ vocabSize: 65, trainTokens: 1_003_854, validationTokens: 111_540, estimated: false });
  });

  it("fits, and has nothing to suggest", () => {
    const { fits, suggestions, memory, machine } = whole;
    expect({ fits, suggestions }).toEqual({ fits: true, suggestions: [] });
    expect(memory.peak).toBeLessThan(machine.available);
    expect(machine.available).toBeLessThanOrEqual(machine.limit);
    expect(memory.activations + memory.gradients).toBe(memory.arena);
  });

  // Machines of tests are shared: a third to three times is what a wrong unit or a wrong count would miss.
  it("measures time that is true", async () => {
    const { step, total, evaluations, checkpoints } = whole.time!;
    const { step: real, state: first, batch } = trainingOf(recipe(), whole.settings);
    let state = first;
    const times: number[] = [];
    for (let i = 0; i < 20; i++) {
      const began = performance.now();
      const [next, { loss }] = await real.run(state, batch);
      loss.item();
      state = next;
      times.push((performance.now() - began) / 1000);
    }
    const truth = times.sort((a, b) => a - b)[10]!;
    expect(step / truth).toBeGreaterThan(1 / 3);
    expect(step / truth).toBeLessThan(3);
    expect({ evaluations, checkpoints }).toEqual({ evaluations: 1, checkpoints: 1 });
    expect(total).toBeGreaterThan(200 * step);
  });

  it("lays a line through few layers where the model is large", async () => {
    const deep = recipe({
      model: { preset: "shakespeare-cpu", config: { n_layer: 12 } },
      training: { steps: 10, batch: 16, accumulate: 2 },
    });
    const { time } = await plan(deep);
    expect([[1, 4], [12]]).toContainEqual(time!.measured.layers);
    expect(time!.step).toBeGreaterThan(0);
    expect(time!.tokensPerSecond).toBeCloseTo((16 * 64) / time!.step, 6);
  });

  it("suggests what makes it fit, as predicted", async () => {
    const large = recipe({ training: { steps: 10, batch: 256, lossChunk: 8192 } });
    const { memory: first, suggestions: none } = await plan(large, { measure: false });
    expect(none).toEqual([]);
    const limit = first.peak - first.arena / 2;
    const { memory, fits, suggestions, unmeasured } = await plan(large, { measure: false, limit });
    expect({ fits, unmeasured }).toEqual({ fits: false, unmeasured: "not asked for" });
    const parts = suggestions.find(({ change }) => "training.accumulate" in change)!;
    expect(parts.fits).toBe(true);
    expect(parts.memory.peak).toBeLessThan(memory.peak);
    const changed = withChange(large, parts.change);
    expect(parts.memory.arena).toBe(programOf(changed, settingsOf(changed, 65), { evaluated: true }).memory.arena);
    for (const one of suggestions) expect(one.memory.peak).toBeLessThan(memory.peak);
  });

  it("says so where nothing suffices", async () => {
    const { fits, suggestions } = await plan(recipe(), { limit: 2 ** 20, measure: false });
    expect(fits).toBe(false);
    expect(suggestions.length).toBeGreaterThan(0);
    expect(suggestions.some((one) => one.fits)).toBe(false);
    expect(suggestions.some(({ change }) => Object.keys(change).length > 1)).toBe(true);
  });
});

describe("tokens of files", () => {
  it("are estimated without preparing them", async () => {
    const file = join(folder, "letters.txt");
    await writeFile(file, "abcdefgh\n".repeat(4000));
    const files = recipe({ data: { text: [file], tokenizer: "characters", valFraction: 0.1 } });
    const { estimated, trainTokens, validationTokens, vocabSize } = await planData(files);
    expect(estimated).toBe(true);
    expect((trainTokens + validationTokens) / 36_000).toBeCloseTo(1, 2);
    expect(validationTokens / (trainTokens + validationTokens)).toBeCloseTo(0.1, 3);
    expect(vocabSize).toBe(10); // letters, line break, end of text
    expect(existsSync(join(folder, "run"))).toBe(false);
  });
});
