// A child process that answers one line of JSON to each line it is given: ours and every peer are measured through it.
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

/** What a contestant says of itself once it is ready. */
export interface Ready {
  readonly version?: string;
  readonly threads: number;
  readonly device: string;
}

interface Message {
  readonly seconds?: number;
  readonly peakBytes?: number;
  readonly error?: string;
}

/** How to start a contestant. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** Longest wait for one answer: a model compiled by C++ takes minutes, a program that hangs takes for ever. */
const PATIENCE = 15 * 60_000;

/** Why a contestant gave no answer, and whether it can still be asked for others. */
export class ChildError extends Error {
  readonly ended: boolean;
  constructor(message: string, ended: boolean) {
    super(message);
    this.ended = ended;
  }
}

/** A started contestant. */
export class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #told: string[] = [];
  readonly #ending: Promise<string>;
  ready: Ready = { threads: 0, device: "" };
  /** From the start of the process to its first line. */
  secondsToReady: number = 0;

  private constructor({ file, args, env }: Command) {
    this.#process = spawn(file, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#process.stderr!.on("data", (chunk: Buffer) => this.#told.push(chunk.toString()));
    this.#process.stdin!.on("error", () => {}); // it ended: the next answer says so, with what it printed
    this.#ending = new Promise((resolve) => {
      this.#process.on("error", (error) => resolve(error.message));
      this.#process.on("close", (code, signal) =>
        resolve(
          signal === "SIGKILL" ? "killed, as a machine out of memory does" : `ended with ${signal ?? `code ${code}`}`,
        ),
      );
    });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts one and waits until it is ready; throws ChildError where it does not get there. */
  static async start(command: Command): Promise<Child> {
    const began = performance.now();
    const child = new Child(command);
    child.ready = (await child.#answer()) as Ready;
    child.secondsToReady = (performance.now() - began) / 1000;
    return child;
  }

  /** Prepares a work. */
  async build(id: string): Promise<void> {
    await this.#ask(`build ${id}`);
  }

  /** Seconds of one repetition. */
  async time(id: string, repeat: number): Promise<number> {
    return (await this.#ask(`time ${id} ${repeat}`)).seconds!;
  }

  /** Ends it; its largest resident size in bytes. */
  async end(): Promise<number> {
    return (await this.#ask("end")).peakBytes!;
  }

  kill(): void {
    this.#process.kill();
  }

  #ask(line: string): Promise<Message> {
    this.#process.stdin!.write(`${line}\n`);
    return this.#answer();
  }

  async #answer(): Promise<Message> {
    let slow = false;
    const timer = setTimeout(() => ((slow = true), this.#process.kill("SIGKILL")), PATIENCE);
    try {
      for (;;) {
        const { value, done } = (await this.#lines.next()) as IteratorResult<string, undefined>;
        if (done === true || value === undefined) throw new ChildError(await this.#end(slow), true);
        if (!value.startsWith("{")) continue; // libraries print greetings
        const message = JSON.parse(value) as Message;
        if (message.error !== undefined) throw new ChildError(message.error, false);
        return message;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  // What it printed last says more than how it ended.
  async #end(slow: boolean): Promise<string> {
    if (slow) return `no answer in ${PATIENCE / 60_000} minutes`;
    const how = await this.#ending;
    const lines = this.#told.join("").trim().split("\n");
    const last = lines.findLast((line) => /error|exception/i.test(line)) ?? lines.at(-1) ?? "";
    return last === "" ? how : `${how}: ${last.trim().slice(0, 300)}`;
  }
}
