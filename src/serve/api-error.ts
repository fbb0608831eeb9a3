// ApiError: what goes wrong with a request, in the shape and with the codes of OpenAI's API.
import { ArgumentError, DataError, IndexError } from "../engine/core/index.ts";
import { CancelledError, QueueFullError } from "./scheduler.ts";

/** The body of an answer that is an error. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** A request that is refused. */
export class ApiError extends Error {
  readonly status: number;
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    status: number,
    message: string,
    { param = null, code = null }: { readonly param?: string | null; readonly code?: string | null } = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.param = param;
    this.code = code;
  }

  /** OpenAI's name for the kind of error. */
  get type(): string {
    if (this.status === 429) return "rate_limit_error";
    if (this.status === 401) return "authentication_error";
    if (this.status === 403) return "permission_error";
    return this.status >= 500 ? "server_error" : "invalid_request_error";
  }

  get body(): ErrorBody {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }
}

/**
 * Any error as one of the API. What this package says of arguments and data is about the request; of other errors the client
 * learns that they happened and no more.
 */
export function apiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof QueueFullError) return new ApiError(429, error.message, { code: "queue_full" });
  if (error instanceof CancelledError) return new ApiError(499, error.message, { code: "cancelled" });
  if (error instanceof ArgumentError || error instanceof DataError || error instanceof IndexError) {
    const { where, message } = error;
    const code = where === "context" ? "context_length_exceeded" : null;
    // What is named like a field of the API is one.
    return new ApiError(400, message, { param: code === null && /^[a-z_]+$/.test(where) ? where : null, code });
  }
  return new ApiError(500, "the server failed: its log says how", { code: "internal_error" });
}
