// The one class tree of errors: text = `where: what is wrong`, then `hint: what to try`; the fields stay readable.

/** What an error carries besides its text. */
export interface ErrorDetails {
  /** What to try next, printed on its own line. */
  readonly hint?: string;
  /** The failure underneath, kept as `cause`. */
  readonly cause?: unknown;
}

/**
 * Base of every error this package throws on purpose.
 *
 * @example
 * try { await model.fit(x, y) } catch (error) { if (error instanceof ChainruleError) console.error(error.hint) }
 */
export class ChainruleError extends Error {
  /** The op, function or file in which it happened. */
  readonly where: string;
  readonly problem: string;
  readonly hint: string | undefined;
  /** Module path from the outermost module inwards, filled while the error unwinds: `["blocks.3", "attn"]`. */
  readonly path: string[] = [];

  constructor(where: string, problem: string, details: ErrorDetails = {}) {
    super("", details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.where = where;
    this.problem = problem;
    this.hint = details.hint;
    this.message = this.#text();
  }

  /** Prepends a module name to the path; called by each module the error passes on its way up. */
  within(name: string): this {
    this.path.unshift(name);
    this.message = this.#text();
    return this;
  }

  #text(): string {
    const place = this.path.length > 0 ? `\nin ${this.path.join(".")}` : "";
    const hint = this.hint === undefined ? "" : `\nhint: ${this.hint}`;
    return `${this.where}: ${this.problem}${place}${hint}`;
  }
}

/** Shapes that do not fit together, or an axis that does not exist. */
export class ShapeError extends ChainruleError {}
/** A dtype an operation does not take. */
export class DtypeError extends ChainruleError {}
/** An option or argument outside its range, or of the wrong kind. */
export class ArgumentError extends ChainruleError {}
/** An index or label outside its range. */
export class IndexError extends ChainruleError {}
/** Misuse of tracing: a value that escaped its trace, an op without a gradient. */
export class TraceError extends ChainruleError {}
/** A program or plan that breaks its own rules: always a defect of this package. */
export class VerifyError extends ChainruleError {}
/** A device, kernel or runtime that is missing or refused the work. */
export class BackendError extends ChainruleError {}
/** A file that is not what its format says. `code` names the kind for machines. */
export class FormatError extends ChainruleError {
  readonly code: string;
  constructor(where: string, code: string, problem: string, details: ErrorDetails = {}) {
    super(where, problem, details);
    this.code = code;
  }
}
/** Data that cannot be trained or evaluated on: NaN, an empty set, labels out of range. */
export class DataError extends ChainruleError {}
/** A checkpoint or run folder that is missing, damaged or from another model. */
export class CheckpointError extends ChainruleError {}
/** The loss or a gradient became NaN or infinite. */
export class NumericError extends ChainruleError {}
