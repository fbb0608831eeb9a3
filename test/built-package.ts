// The built package for suites that run it in processes of their own: made again where a source is newer.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { filesOf, root } from "./architecture/imports.ts";

const run = promisify(execFile);

/** The command `chainrule` of the built package. */
export const main: string = join(root, "dist/cli/main.js");

/** Builds dist/ where it is older than the sources. */
export async function buildPackage(): Promise<void> {
  const sources = filesOf("src").filter((path) => path.endsWith(".ts") && !/\.(test|test-d)\.ts$/.test(path));
  const newer = sources.some((path) => {
    const made = join(root, "dist", path.replace(/\.ts$/, ".js"));
    return !existsSync(made) || statSync(made).mtimeMs < statSync(join(root, "src", path)).mtimeMs;
  });
  if (newer)
    await run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"], {
      cwd: root,
    });
}

/** A new folder that the caller removes. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "chainrule-test-"));
}
