// Short steps stay on the thread and let the event loop have its turn; long ones leave it.
import { describe, expect, it } from "vitest";
import { Pace } from "./pace.ts";

const spin = (ms: number): void => {
  for (const until = performance.now() + ms; performance.now() < until;);
};

async function run(ms: number, steps: number): Promise<{ here: number; elsewhere: number; ticks: number }> {
  const pace = new Pace();
  const count = { here: 0, elsewhere: 0, ticks: 0 };
  const timer = setInterval(() => count.ticks++, 1);
  for (let i = 0; i < steps; i++) {
    await pace.step(
      () => {
        count.here++;
        spin(ms);
      },
      () => {
        count.elsewhere++;
        return new Promise((resolve) => setTimeout(resolve, ms));
      },
    );
  }
  clearInterval(timer);
  return count;
}

describe("Pace", () => {
  it("keeps short steps here, but pauses", async () => {
    const { here, elsewhere, ticks } = await run(0.2, 400);
    expect(here + elsewhere).toBe(400);
    expect(here).toBeGreaterThan(300);
    expect(ticks).toBeGreaterThan(3);
  });
  it("runs long steps elsewhere", async () => {
    const { here, elsewhere } = await run(10, 10);
    expect(elsewhere).toBe(10);
    expect(here).toBe(0);
  });
  it("hands on what a step throws", async () => {
    const fail = (): never => {
      throw new Error("no");
    };
    await expect(new Pace().step(fail, async () => fail())).rejects.toThrow("no");
  });
});
