// Child processes for the scripts: run, time, report. Plain Node, no dependency, so that it works before `npm ci`.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The repository's root folder. */
export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs a command in the root folder with the terminal's streams; resolves to its exit code, 1 if a signal ended it. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", ...options });
    child.on("error", reject);
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

/** Runs a Node script of the repository, or the bin of an installed package (`node_modules/<package>/<file>`). */
export function runNode(args, options) {
  return run(process.execPath, args, options);
}

/** Runs npm: the one that started us where there is one, so that versions agree. */
export function runNpm(args, options) {
  const npm = process.env["npm_execpath"];
  if (npm !== undefined && existsSync(npm)) return runNode([npm, ...args], options);
  return run("npm", args, { shell: process.platform === "win32", ...options });
}

/** Runs a command and keeps what it printed on both streams, in order. */
export function capture(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], ...options });
    let text = "";
    child.stdout.on("data", (chunk) => (text += chunk));
    child.stderr.on("data", (chunk) => (text += chunk));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, text }));
  });
}

/** Seconds with one decimal. */
export function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

/**
 * Runs named jobs, at most `width` at a time, and prints each one's output in one piece with its time.
 * Resolves to the names of those that failed.
 */
export async function runJobs(jobs, width = 2) {
  const waiting = [...jobs];
  const failed = [];
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const start = performance.now();
      const { code, text } = await capture(process.execPath, job.args);
      const output = text.trimEnd();
      console.log(`${job.name.padEnd(14)}${code === 0 ? "ok" : "FAILED"}  ${seconds(start)}`);
      if (output !== "" && (code !== 0 || job.quiet !== true)) console.log(output.replace(/^/gm, "  "));
      if (code !== 0) failed.push(job.name);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return failed;
}
