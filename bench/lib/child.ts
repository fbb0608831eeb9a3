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
}

/** How to start a contestant. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** A started contestant. */
export class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #told: string[] = [];
  ready: Ready = { threads: 0, device: "" };
  /** From the start of the process to its first line. */
  secondsToReady: number = 0;

  private constructor({ file, args, env }: Command) {
    this.#process = spawn(file, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#process.stderr!.on("data", (chunk: Buffer) => this.#told.push(chunk.toString()));
    this.#process.stdin!.on("error", () => {}); // it ended: the next answer says so, with what it printed
    this.#process.on("error", (error) => this.#told.push(error.message));
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  /** Starts one and waits until it is ready. */
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
    for (;;) {
      const { value, done } = (await this.#lines.next()) as IteratorResult<string, undefined>;
      if (done === true || value === undefined) throw new Error(`a program ended: ${this.#told.join("").slice(-600)}`);
      if (value.startsWith("{")) return JSON.parse(value) as Message; // libraries print greetings
    }
  }
}
