// Recipes: what is filled in, what is refused and how it is said; the template is a recipe with the defaults it shows.
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import {
  checkRecipe,
  FILE_DEFAULTS,
  parseRecipe,
  recipePreset,
  recipePresets,
  recipeTemplate,
  settingsOf,
  type RecipeInput,
} from "../../src/tasks/index.ts";

const least: RecipeInput = {
  out: "runs/x",
  data: { text: "shakespeare" },
  model: { preset: "shakespeare-tiny" },
  training: { steps: 10, batch: 4 },
};

const yaml = `out: runs/x
data:
  text: shakespeare
model:
  preset: shakespeare-tiny
training:
  steps: 10
  batch: 4
`;

describe("recipes", () => {
  it("fill in what has a default", () => {
    const recipe = checkRecipe(least);
    expect(recipe.training.optimizer).toMatchObject({
      name: "adamw",
      beta1: 0.9,
      beta2: 0.95,
      weightDecay: 0.1,
      clip: 1,
    });
    expect(recipe.checkpoints).toEqual({ every: 500, keep: 2, minutes: 10 });
    expect(parseRecipe(yaml)).toEqual(recipe);
  });

  it("are refused with file, line and the nearest name", () => {
    const wrong = yaml.replace("  batch: 4", "  bacth: 4");
    expect(() => parseRecipe(wrong, "mine.yaml")).toThrow(
      /mine\.yaml:8: training: there is no `bacth`.*did you mean `batch`/s,
    );
    expect(() => parseRecipe(yaml.replace("steps: 10", "steps: -1"), "mine.yaml")).toThrow(
      /mine\.yaml:7: training\.steps/,
    );
    expect(() => parseRecipe(`${yaml}out: twice\n`, "mine.yaml")).toThrow(/mine\.yaml:9/);
    expect(() => parseRecipe("out: [", "mine.yaml")).toThrow(/mine\.yaml:1/);
  });

  it("say all problems at once, in the order of their lines", () => {
    const wrong = yaml.replace("steps: 10", "steps: ten").replace("out: runs/x", "out: ''");
    expect(() => parseRecipe(wrong, "m")).toThrow(/m:1: out.*\n.*m:7: training\.steps/s);
  });

  const refused: readonly (readonly [string, RecipeInput, RegExp])[] = [
    ["tokens and text", { ...least, data: { tokens: "a", text: ["b"] } }, /`tokens`.*or `text`/],
    ["files without a tokenizer", { ...least, data: { text: ["b"] } }, /need a `tokenizer`/],
    ["preset and depth", { ...least, model: { preset: "gpt2", depth: 2 } }, /`preset`, or a `depth`/],
    ["a tokenizer beside prepared tokens", { ...least, data: { tokens: "a", tokenizer: "characters" } }, /its own/],
    ["a split of what is split", { ...least, data: { tokens: "a", valFraction: 0.1 } }, /are for files/],
    ["a sum of nothing", { ...least, model: {} }, /`model_type`/],
  ];
  for (const [name, recipe, message] of refused)
    it(`refuse ${name}`, () => expect(() => checkRecipe(recipe)).toThrow(message));

  it("turn into numbers, and say which field is missing", () => {
    const settings = settingsOf(checkRecipe(least), 65);
    expect(settings).toMatchObject({ time: 32, batch: 4, microBatch: 4, steps: 10, learningRate: 1e-3 });
    expect(() => settingsOf(checkRecipe({ ...least, training: { steps: 10 } }), 65)).toThrow(
      /`training\.batch` is missing/,
    );
    expect(() => settingsOf(checkRecipe({ ...least, model: { preset: "shakespear" } }), 65)).toThrow(
      /did you mean `shakespeare/,
    );
    expect(() => settingsOf(checkRecipe({ ...least, training: { steps: 10, batch: 4, time: 64 } }), 65)).toThrow(
      /32 positions/,
    );
    const deep = settingsOf(checkRecipe({ ...least, model: { depth: 2 }, training: { time: 64 } }), 256);
    expect(deep.steps * deep.batch * deep.time).toBeGreaterThan(1e6);
  });

  it("have presets that are recipes", () => {
    for (const name of Object.keys(recipePresets)) settingsOf(checkRecipe(recipePreset(name)), 65);
    expect(() => recipePreset("shakespear")).toThrow(/did you mean `shakespeare`/);
  });

  it("have a template whose comments show the defaults", () => {
    const recipe = parseRecipe(recipeTemplate, "template");
    // Every field that is commented out with a value, put in: nothing changes.
    const filled = recipeTemplate
      .split("\n")
      .map((line) => /^( *)# (\w+:\s+\S.*)$/.exec(line))
      .filter((match) => match !== null && !/model_type|tokens: tokens/.test(match[0]))
      .map((match) => parse(match![2]!) as { readonly [key: string]: unknown });
    const flat = JSON.stringify({ ...recipe, files: FILE_DEFAULTS, guard: checkRecipe({ ...least, guard: {} }).guard });
    const shown = filled
      .flatMap((one) => Object.entries(one))
      .filter(([key, value]) => value !== null && key !== "One");
    expect(shown.length).toBeGreaterThan(15);
    for (const [key, value] of shown) expect(flat, key).toContain(`"${key}":${JSON.stringify(value)}`);
  });
});
