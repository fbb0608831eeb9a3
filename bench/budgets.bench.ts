// The budgets with what is measured now: how far each limit is away.
import { budgets, keeps } from "./budgets.ts";

export const about = "the lower limits that npm test holds every build to, with what is measured now";

interface Row {
  readonly [column: string]: string | number;
}

export default function measure(): Row[] {
  return budgets.map((budget) => {
    const value = budget.measure();
    const limit =
      "atLeast" in budget.limit
        ? `at least ${budget.limit.atLeast.toPrecision(3)}`
        : `at most ${budget.limit.atMost.toPrecision(3)}`;
    return { budget: budget.name, unit: budget.unit, value, limit, kept: keeps(budget, value) ? "yes" : "NO" };
  });
}
