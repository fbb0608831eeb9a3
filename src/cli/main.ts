#!/usr/bin/env node
// The command `chainrule`: the list of commands, their common options, errors and exit codes.
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { data } from "./commands/data.ts";
import { doctor } from "./commands/doctor.ts";
import { evaluate } from "./commands/evaluate.ts";
import { explain } from "./commands/explain.ts";
import { generate } from "./commands/generate.ts";
import { init } from "./commands/init.ts";
import { planCommand } from "./commands/plan.ts";
import { pretrain } from "./commands/pretrain.ts";
import { quickstart } from "./commands/quickstart.ts";
import { serve } from "./commands/serve.ts";
import { tokenizer } from "./commands/tokenizer.ts";
import { fail } from "./failure.ts";
import { globalOptions } from "./output.ts";

/** Every command, in the order of the help. Each loads the rooms it needs when it runs. */
const commands: readonly (() => Command)[] = [
  quickstart,
  data,
  tokenizer,
  init,
  planCommand,
  pretrain,
  evaluate,
  generate,
  serve,
  explain,
  doctor,
];

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

function createProgram(): Command {
  const program = new Command("chainrule")
    .description("Develop and fine-tune neural networks, from one neuron to a language model, in TypeScript.")
    .version(packageVersion(), "-V, --version", "print the version")
    .option("--json", "results as JSON on stdout")
    .option("--debug", "errors with their stack")
    .showHelpAfterError("(add --help for the options)")
    .addHelpText(
      "after",
      "\nResults go to stdout, progress to stderr. NO_COLOR is respected; CHAINRULE_DEVICE=native|wasm|reference picks the device.",
    );
  // Errors are thrown, so that one place decides about text and exit code.
  program.exitOverride();
  for (const command of commands) program.addCommand(inherit(command(), program));
  return program;
}

// Commander hands its settings on to the commands it makes itself, and not to those that are added.
function inherit(command: Command, parent: Command): Command {
  command.copyInheritedSettings(parent);
  for (const child of command.commands) inherit(child, command);
  return command;
}

// `chainrule … | head` closes our stdout early; that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

const program = createProgram();
try {
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  process.exitCode = fail(error, globalOptions(program));
}
