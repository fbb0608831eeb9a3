// `chainrule doctor`: which backend runs and why, what this machine has, which ops have no kernel of their own.
import { arch, availableParallelism, cpus, platform, totalmem } from "node:os";
import { Command } from "commander";
import type { Device, DeviceName } from "../../engine/runtime/index.ts";
import { EXIT, ExitError } from "../failure.ts";
import { columns, outputOf, type Output } from "../output.ts";

/** How the ops of this package run on a device. */
interface Coverage {
  /** Ops with a kernel, or that move nothing (views). */
  readonly kernels: number;
  /** Ops that run as smaller ops. */
  readonly decomposed: readonly string[];
  /** Ops that cannot run. */
  readonly missing: readonly string[];
}

interface DeviceReport {
  readonly name: DeviceName;
  readonly available: boolean;
  /** What runs, or why it cannot. */
  readonly text: string;
  readonly threads?: number;
  readonly coverage?: Coverage;
}

interface Report {
  readonly node: string;
  readonly platform: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly device: { readonly name: string; readonly reason: string };
  readonly devices: readonly DeviceReport[];
}

export function doctor(): Command {
  return new Command("doctor")
    .description("say which backend runs and why, and what is missing")
    .action(async (_options: object, command: Command) => {
      const output = outputOf(command);
      const report = await examine();
      output.result(report, (data) => print(data, output));
      // Nothing that runs, or an op that no path leads to: scripts may rely on the code.
      const usable = report.devices.find(({ name }) => name === report.device.name);
      if (usable?.available !== true || (usable.coverage?.missing.length ?? 0) > 0) throw new ExitError(EXIT.failed);
    });
}

async function examine(): Promise<Report> {
  const { defaultDevice, device } = await import("../../engine/runtime/index.ts");
  const { name, reason } = defaultDevice(); // first, so that it says why it was chosen and not that we asked for it
  const devices: DeviceReport[] = [];
  for (const each of ["native", "wasm", "reference"] as const) devices.push(await inspect(each, () => device(each)));
  return {
    node: process.versions.node,
    platform: `${platform()} ${arch()}`,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    device: { name, reason },
    devices,
  };
}

async function inspect(name: DeviceName, open: () => Device): Promise<DeviceReport> {
  const { BackendError } = await import("../../engine/core/index.ts");
  try {
    const { backend } = open();
    return {
      name,
      available: true,
      text: backend.describe(),
      threads: backend.threads,
      coverage: await cover(backend),
    };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { name, available: false, text: error.message };
  }
}

// Compiles the first sample of every op: what cannot run is what the compiler refuses for want of a kernel.
async function cover(backend: Device["backend"]): Promise<Coverage> {
  const [{ allOps }, { bind, trace }, { compile }, { BackendError }] = await Promise.all([
    import("../../engine/ops/index.ts"),
    import("../../engine/program/index.ts"),
    import("../../engine/compile/index.ts"),
    import("../../engine/core/index.ts"),
  ]);
  const decomposed: string[] = [];
  const missing: string[] = [];
  for (const op of allOps) {
    const { inputs, attrs } = op.samples[0]!;
    const { program } = trace(inputs, (values) => bind(op, values, attrs));
    try {
      compile(program, backend);
      const whole = backend.lower({ op, attrs, inputs, outputs: op.shape(inputs, attrs) }) !== undefined;
      if (!whole && op.decompose !== undefined && op.loop === undefined) decomposed.push(op.name);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      missing.push(op.name);
    }
  }
  return { kernels: allOps.length - decomposed.length - missing.length, decomposed, missing };
}

function print(report: Report, { colors }: Output): string {
  const lines = [
    columns([
      ["node", report.node],
      ["platform", report.platform],
      ["processor", `${report.processor}, ${report.cores} cores, ${report.memoryGiB} GiB`],
      ["device", `${colors.bold(report.device.name)}: ${report.device.reason}`],
    ]),
  ];
  for (const { name, available, text, threads, coverage } of report.devices) {
    lines.push("", `${available ? colors.green("✓") : colors.red("✗")} ${colors.bold(name)}: ${text}`);
    if (coverage === undefined) continue;
    const rows = [
      ["threads", String(threads)],
      ["kernels", `${coverage.kernels} ops`],
    ];
    if (coverage.decomposed.length > 0) rows.push(["as smaller ops", coverage.decomposed.join(" ")]);
    rows.push(["missing", coverage.missing.length === 0 ? "none" : colors.red(coverage.missing.join(" "))]);
    lines.push(columns(rows, "  "));
  }
  return lines.join("\n");
}
