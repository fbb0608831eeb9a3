// `chainrule init`: writes a commented recipe to begin with.
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { ArgumentError } from "../../engine/core/index.ts";
import { outputOf } from "../output.ts";

export function init(): Command {
  const command = new Command("init").description("write a commented recipe to begin with");
  command
    .command("pretrain")
    .description("a recipe for `chainrule pretrain`")
    .argument("[file]", "where", "recipe.yaml")
    .option("--force", "write over a file that is there", false)
    .action(async (file: string, { force }: { force: boolean }, self: Command) => {
      const { recipeTemplate } = await import("../../tasks/index.ts");
      if (existsSync(file) && !force)
        throw new ArgumentError("init", `${file} is there already`, { hint: "another name, or --force" });
      await writeFile(file, recipeTemplate);
      outputOf(self).result({ file }, () => `${file}\n\nchainrule plan ${file}\nchainrule pretrain ${file}`);
    });
  return command;
}
