// A contest outlives its peers: programs that cannot start, die or fail at one work say why, and rows take the best setting of each program.
import { afterEach, describe, expect, it } from "vitest";
import { Child, ChildError, type Command } from "../../bench/lib/child.ts";
import { comparisons, rowsOf, type Entry, type Measured } from "../../bench/lib/rows.ts";
import { works, type Work } from "../../bench/lib/works.ts";

const started: Child[] = [];
afterEach(() => started.splice(0).forEach((child) => child.kill()));

// A peer that answers each line by an expression of it.
const peer = (
  answer: string,
  hello: string = "{ ready: true, version: '1.0', threads: 1, device: 'cpu' }",
): Command => ({
  file: process.execPath,
  args: [
    "-e",
    `const say = (m) => console.log(JSON.stringify(m)); console.log("hello"); say(${hello});
     require("readline").createInterface({ input: process.stdin }).on("line", (line) => say(${answer}));`,
  ],
  env: process.env,
});

async function start(command: Command): Promise<Child> {
  const child = await Child.start(command);
  started.push(child);
  return child;
}

const failure = (promise: Promise<unknown>): Promise<ChildError> =>
  promise.then(
    () => expect.unreachable(),
    (error: unknown) => error as ChildError,
  );

describe("a peer", () => {
  it("answers", async () => {
    const child = await start(peer("{ seconds: line.length }"));
    expect(child.ready.version).toBe("1.0");
    expect(await child.time("mlp", 3)).toBe("time mlp 3".length);
  });

  it("that is not there says so", async () => {
    const error = await failure(start({ file: "/nowhere/python", args: [], env: {} }));
    expect(error).toBeInstanceOf(ChildError);
    expect(error.message).toContain("ENOENT");
  });

  it("that cannot be imported says what it printed", async () => {
    const error = await failure(start(peer("0", "(() => { throw new Error('no module torch') })()")));
    expect(error.ended).toBe(true);
    expect(error.message).toContain("no module torch");
  });

  it("that fails at one work can still be asked for others", async () => {
    const child = await start(peer("line.startsWith('build cnn') ? { error: 'no kernel' } : { seconds: 1 }"));
    const error = await failure(child.build("cnn"));
    expect([error.ended, error.message]).toEqual([false, "no kernel"]);
    expect(await child.time("mlp", 1)).toBe(1);
  });

  it("that is killed has ended", async () => {
    const child = await start(peer("process.kill(process.pid, 'SIGKILL')"));
    const error = await failure(child.time("mlp", 1));
    expect([error.ended, error.message]).toEqual([true, "killed, as a machine out of memory does"]);
    expect((await failure(child.time("mlp", 1))).ended).toBe(true); // and is not waited for
  });
});

describe("rows", () => {
  const entry = (group: string, threads: number, times: readonly (readonly [Work, number])[]): Entry => ({
    contestant: {
      group,
      peer: group === "ours" ? "" : "PyTorch",
      threads,
      command: peer("0"),
      can: () => true,
    },
    child: { ready: { version: group, threads, device: "cpu" } } as Child,
    seconds: new Map(times.map(([work, seconds]) => [work, [seconds]])),
    repeats: new Map(),
    bytes: 0,
  });
  const brief = ({ ratio, threads, peer: against }: Measured): unknown => [threads, ratio, against?.version];
  const mlp = works["mlp"]![0]!;
  const product = works["gemm"]!.find(({ id }) => id === "gemm/1024/NN")!;
  const turned = works["gemm"]!.find(({ id }) => id === "gemm/1024/TN")!;

  it("hold our best setting against the best of each program", () => {
    const entries = [
      entry("ours", 1, [[mlp, 2]]),
      entry("ours", 2, [[mlp, 1]]),
      entry("1.13.0", 1, [[mlp, 3]]),
      entry("1.13.0", 2, [[mlp, 4]]),
      entry("2.15.0", 1, []), // it failed: no rows
    ];
    expect(rowsOf(mlp, entries, () => null).map(brief)).toEqual([[2, 3, "1.13.0, 1 thread"]]);
  });

  it("of products are by threads, with our own compared", () => {
    const entries = [
      entry("ours", 1, [[product, 4], [turned, 5]]), // prettier-ignore
      entry("ours", 2, [[product, 2], [turned, 2]]), // prettier-ignore
      entry("1.13.0", 1, [[product, 4]]),
    ];
    expect(rowsOf(product, entries, () => 0.5).map(brief)).toEqual([
      [1, 1, "1.13.0, 1 thread"],
      [2, null, undefined],
    ]);
    const own = comparisons([product, turned], entries).map(({ name, ours }) => [name, ours]);
    expect(own).toContainEqual(["gemm 1024 slowest / fastest of NN NT TN TT", 0.8]);
    expect(own).toContainEqual(["gemm 1024 NN 2 threads / 1 thread", 2]);
  });
});
