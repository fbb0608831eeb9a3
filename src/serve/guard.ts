// Guard: who may ask at all. Host names against DNS rebinding, origins against pages of other sites, and the API key.
import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";
import { ApiError } from "./api-error.ts";

export interface GuardOptions {
  /** Names, beside localhost and addresses, under which the server may be asked. */
  readonly allowedHosts?: readonly string[];
  /** Origins whose pages may ask (`https://example.com`), or "*" for all; none unless said. */
  readonly allowedOrigins?: readonly string[];
  /** What `Authorization: Bearer …` must hold; nothing is asked for unless said. */
  readonly apiKey?: string;
}

/**
 * Refuses requests by their headers, before anything else is looked at.
 * A page that makes its own name point to this machine (DNS rebinding) still sends its name as Host: only localhost,
 * plain addresses and the names given are taken. Pages of other origins are refused unless their origin is given.
 */
export function guard({ allowedHosts = [], allowedOrigins = [], apiKey }: GuardOptions): MiddlewareHandler {
  const hosts = new Set(["localhost", ...allowedHosts.map((host) => host.toLowerCase())]);
  const origins = new Set(allowedOrigins);
  return async (c, next) => {
    const host = hostName(c.req.header("host") ?? "");
    if (isIP(host) === 0 && !hosts.has(host)) {
      const text = `the host ${JSON.stringify(host)} is not one this server answers to: start it with --allow-host ${host}`;
      throw new ApiError(403, text, { code: "host_not_allowed" });
    }
    const origin = c.req.header("origin");
    if (origin !== undefined) {
      if (!origins.has("*") && !origins.has(origin)) {
        const text = `pages of ${origin} may not ask this server: start it with --allow-origin ${origin}`;
        throw new ApiError(403, text, { code: "origin_not_allowed" });
      }
      c.header("Access-Control-Allow-Origin", origins.has("*") ? "*" : origin);
      c.header("Vary", "Origin");
      // The question a browser asks first; it carries no key.
      if (c.req.method === "OPTIONS") {
        c.header("Access-Control-Allow-Methods", "GET, POST");
        c.header("Access-Control-Allow-Headers", c.req.header("access-control-request-headers") ?? "");
        return c.body(null, 204);
      }
    }
    if (apiKey !== undefined && !sameText(c.req.header("authorization") ?? "", `Bearer ${apiKey}`))
      throw new ApiError(401, "the API key is missing or wrong", { code: "invalid_api_key" });
    await next();
    return undefined;
  };
}

// `name:port`, `[::1]:port` → name, ::1.
function hostName(host: string): string {
  const [, bracketed, plain = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(host) ?? [];
  return (bracketed ?? plain).toLowerCase();
}

// Takes the same time wherever two texts differ.
function sameText(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
