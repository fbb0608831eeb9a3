// A context and what follows it as one row of tokens: where the border between them lies.
import type { Tokenizer } from "../../data/text/index.ts";
import type { OpenModel } from "../../models/index.ts";
import type { ScoredRow } from "./scorer.ts";

/** What texts are tokenized with. */
export type TextModel = Pick<OpenModel, "tokenizer" | "beginToken">;

/**
 * The row that scores `continuation` after `context`; undefined where nothing stands before its first token.
 * Both are tokenized as one text, as a model meets them. White space at the end of the context counts to the
 * continuation; the context has the tokens it has alone, and whatever follows them in the whole is the continuation: at
 * least one token. The token the tokenizer's file puts before texts comes first; an empty context is the token that begins
 * texts. Source: `_encode_pair` of EleutherAI/lm-evaluation-harness.
 */
export function pairRow(
  { tokenizer, beginToken }: TextModel,
  context: string,
  continuation: string,
): ScoredRow | undefined {
  const kept = context.trimEnd();
  const moved = context.slice(kept.length) + continuation;
  const alone = tokenizer.encode(kept).length;
  const whole = tokenizer.encode(kept + moved);
  const border = Math.min(alone, whole.length - 1);
  const before = leadingToken(tokenizer) ?? (border === 0 ? beginToken : undefined);
  const ids = before === undefined ? Array.from(whole) : [before, ...whole];
  const from = border + (before === undefined ? 0 : 1);
  return from === 0 ? undefined : { ids, from };
}

/** The token the tokenizer's file puts before every text; undefined where it puts none. */
export function leadingToken(tokenizer: Tokenizer): number | undefined {
  return tokenizer.encode("", { addSpecialTokens: true })[0];
}
