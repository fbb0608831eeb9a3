// The text form of plans: one call a line with its buffers, bytes and flops.
import { formatType } from "../core/index.ts";
import { bufferBytes } from "./bytes.ts";
import type { BufferId, Plan, PlanStep } from "./plan.ts";

export function printPlan(plan: Plan): string {
  const lines = [`plan(arena ${plan.arenaBytes} bytes, ${plan.slots} slots) {`];
  const name = (id: BufferId): string => {
    const { place } = plan.buffers[id]!;
    return place.kind === "arena" ? `@${place.offset}` : `$${place.slot}`;
  };
  const typed = (id: BufferId): string => `${name(id)}: ${formatType(plan.buffers[id]!)}`;
  const walk = (steps: readonly PlanStep[], indent: string): void => {
    for (const step of steps) {
      if (step.kind === "kernel") {
        const bytes = [...step.inputs, ...step.outputs].reduce((n, id) => n + bufferBytes(plan.buffers[id]!), 0);
        const label = step.kernel === step.op ? step.kernel : `${step.kernel}(${step.op})`;
        const cost = `${bytes} B${step.flops > 0 ? `, ${step.flops} flop` : ""}`;
        lines.push(
          `${indent}${step.outputs.map(typed).join(", ")} = ${label} ${step.inputs.map(name).join(" ")} // ${cost}`,
        );
      } else {
        lines.push(`${indent}loop ${step.count}${step.reverse ? " reverse" : ""} {`);
        for (const { whole, part } of step.reads) lines.push(`${indent}  ${typed(part)} = ${name(whole)}[i]`);
        walk(step.body, indent + "  ");
        for (const { whole, part } of step.writes) lines.push(`${indent}  ${name(whole)}[i] = ${name(part)}`);
        for (const { from, to } of step.carries) lines.push(`${indent}  ${name(to)} <- ${name(from)}`);
        lines.push(`${indent}}`);
      }
    }
  };
  walk(plan.steps, "  ");
  lines.push(`  return ${plan.outputs.map(name).join(", ")}`, "}");
  return lines.join("\n");
}
