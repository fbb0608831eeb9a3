// Numbers on a command line, read as what they must be.
import { ArgumentError } from "../engine/core/index.ts";

/** A reader of whole numbers ≥ 0 for an option of that name. */
export function wholeNumber(name: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new ArgumentError(name, `expected a whole number, received ${JSON.stringify(text)}`);
  };
}

/** A reader of decimal numbers for an option of that name. */
export function decimal(name: string): (text: string) => number {
  return (text) => {
    if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
    throw new ArgumentError(name, `expected a number, received ${JSON.stringify(text)}`);
  };
}
