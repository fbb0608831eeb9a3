// Shakespeare's plays as one text of 1.1 million characters; it ships with the package.
import { fileURLToPath } from "node:url";
import { gunzip, readBytes, sha256 } from "../formats/index.ts";
import { checkHash } from "./mnist.ts";

/** A text in two parts. */
export interface TextDataset {
  readonly train: string;
  readonly validation: string;
  /** What was loaded, and from where. */
  readonly source: string;
}

/** The file, packed; its content is in the public domain. */
export const shakespeareFile: string = fileURLToPath(new URL("../../../data/tinyshakespeare.txt.gz", import.meta.url));
const BYTES = 1_115_394;
const SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";

/**
 * Parts of Shakespeare's plays as used by char-rnn and nanoGPT: the first 90 % to train, the last 10 % to validate.
 *
 * Errors: `FormatError` with code `unreadable`, `bad-gzip` or `wrong-hash`.
 *
 * @example
 * const { train, validation } = await shakespeare();
 * [train.length, validation.length]; // [1003854, 111540]
 */
export async function shakespeare(): Promise<TextDataset> {
  const bytes = gunzip(shakespeareFile, await readBytes(shakespeareFile), BYTES);
  checkHash(shakespeareFile, sha256(bytes), SHA256);
  const text = new TextDecoder().decode(bytes);
  const border = Math.floor(text.length * 0.9);
  return {
    train: text.slice(0, border),
    validation: text.slice(border),
    source: "1.1 million characters of Shakespeare's plays, shipped with the package",
  };
}
