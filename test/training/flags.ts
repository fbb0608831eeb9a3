// Functions of the engine that a flag turns on, for tests of memory.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Turns a flag on and gives the global function that comes with it. */
export function flagged(flag: string, name: string): unknown {
  setFlagsFromString(flag);
  return runInNewContext(name);
}
