// A profile as text: what was measured, kinds of kernels, every call, the passes that changed the program.
import { formatType, type TensorType } from "../core/index.ts";
import type { Profile, ProfiledCall } from "./profile.ts";

/** Operands of one side that are printed; of the others the number is. */
const SHOWN = 3;
/** Longest label of a call. */
const LABEL = 60;

/** Prints a profile; with `slowest` only so many calls, by their time. */
export function printProfile(profile: Profile, slowest?: number): string {
  const { device, threads, calls, kinds, passes, seconds, kernelSeconds, flops, arenaBytes, peak } = profile;
  const share = (part: number): string => `${((100 * part) / kernelSeconds).toFixed(1)} %`;
  const rate = (amount: number, time: number): string => (amount > 0 ? (amount / time / 1e9).toFixed(1) : "");
  const ofPeak = (amount: number, time: number): string =>
    amount > 0 ? `${((100 * amount) / time / peak).toFixed(0)} %` : "";
  const shown = slowest === undefined ? calls : calls.toSorted((a, b) => b.seconds - a.seconds).slice(0, slowest);
  const lines = [
    `plan on ${device}, ${threads} thread${threads === 1 ? "" : "s"}: ${time(seconds)} a run, ${time(kernelSeconds)} of it in ${calls.length} kernel calls; arena ${bytes(arenaBytes)}`,
    `${(flops / 1e9).toFixed(3)} Gflop counted: ${rate(flops, seconds)} GFLOP/s, ${ofPeak(flops, seconds)} of the best matrix product (${(peak / 1e9).toFixed(1)} GFLOP/s)`,
    "",
    ...table(
      ["kernel", "calls", "time", "share", "GFLOP/s", "of peak", "GB/s"],
      kinds.map((kind) => [
        kind.kernel,
        String(kind.calls),
        time(kind.seconds),
        share(kind.seconds),
        rate(kind.flops, kind.seconds),
        ofPeak(kind.flops, kind.seconds),
        rate(kind.bytes, kind.seconds),
      ]),
    ),
    "",
    ...table(
      ["call", "time", "share", "GFLOP/s", "of peak", "GB/s", "bytes", "kernel", "what", "types"],
      shown.map((call) => [
        `${call.call}${call.turns === 1 ? "" : ` x${call.turns}`}`,
        time(call.seconds),
        share(call.seconds),
        rate(call.flops, call.seconds),
        ofPeak(call.flops, call.seconds),
        rate(call.bytes, call.seconds),
        bytes(call.bytes),
        call.kernel,
        call.op === call.kernel ? "" : cut(call.op),
        typesOf(call),
      ]),
    ),
  ];
  if (shown.length < calls.length) lines.push(`and ${calls.length - shown.length} faster calls`);
  lines.push("", "passes that changed the program (equations before, after):");
  for (const { pass, before, after } of passes) lines.push(`  ${pass.padEnd(14)}${before} -> ${after}`);
  return lines.join("\n");
}

function typesOf({ inputs, outputs }: ProfiledCall): string {
  const list = (types: readonly TensorType[]): string => {
    const texts = types.slice(0, SHOWN).map(formatType);
    return texts.join(" ") + (types.length > SHOWN ? ` +${types.length - SHOWN}` : "");
  };
  return `${list(inputs)} -> ${list(outputs)}`;
}

// Fused groups name all their ops.
function cut(text: string): string {
  return text.length > LABEL ? `${text.slice(0, LABEL - 1)}…` : text;
}

function time(seconds: number): string {
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 1e-3 ? `${(seconds * 1e3).toFixed(2)} ms` : `${(seconds * 1e6).toFixed(1)} us`;
}

function bytes(count: number): string {
  const unit = count >= 2 ** 30 ? ["GiB", 2 ** 30] : count >= 2 ** 20 ? ["MiB", 2 ** 20] : ["KiB", 2 ** 10];
  return `${(count / (unit[1] as number)).toFixed(1)} ${unit[0]}`;
}

// Columns; numbers stand right.
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, c) => Math.max(...all.map((row) => row[c]!.length)));
  const isText = (c: number): boolean => ["kernel", "what", "types"].includes(head[c]!);
  return all.map((row) =>
    row
      .map((cell, c) => (isText(c) ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!)))
      .join("  ")
      .trimEnd(),
  );
}
