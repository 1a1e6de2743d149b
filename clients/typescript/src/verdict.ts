// What a response means for the events of a batch.

import type { Reply } from "./post.js";

/** What becomes of a batch. */
export type Verdict =
  /** Answered: the events are done with, those in `refused` because they never will be stored; but those in `again` are sent again. */
  | { kind: "answered"; duplicates: number; refused: Map<number, string>; again: Set<number>; status: number }
  /** The batch is too much, or something in it is: its events are sent in smaller ones. */
  | { kind: "split"; status: number }
  /** The same events are sent again, without compression. */
  | { kind: "uncompressed"; reason: string; status: number }
  /** Sent again later. `retryAfter` is what the service asked for, in milliseconds; `setup` that somebody must change a setting first. */
  | { kind: "retry"; reason: string; status: number | undefined; retryAfter: number; setup: boolean };

interface ErrorBody {
  error: string;
  message: string;
}

const DAY = 24 * 3600 * 1000;
// Errors of events that the service could not store, while it stored others of the batch.
const NOT_STORED = ["Failed to store metrics in database", "Service Unavailable", "Internal Server Error"];

/** Judges the response to a batch of `count` events. */
export function judge(response: Reply, count: number, compressed: boolean, now: number): Verdict {
  if ("failure" in response) return retry(response.failure, undefined, 0);
  const { status } = response;
  const body = parse(response.text);
  if (status === 200 || status === 202) {
    // 202: the service has the events in its own spool.
    return answered(body, count, status) ?? retry(`Status ${status}, but not with the service's response`, status, 0);
  }
  const error = errorBody(body);
  if (status === 400 && error !== undefined) return badRequest(error, count, compressed);
  if (status === 403 && error?.message === "API key is not valid for this business") return allRefused(error.message, count, status);
  if (status === 413) return count > 1 ? { kind: "split", status } : allRefused(error?.error ?? "Payload Too Large", count, status);
  const said = error === undefined ? "" : `: ${error.error}, ${error.message}`;
  const reason = `Status ${status}${said}`;
  if (status === 415 && compressed) return { kind: "uncompressed", reason, status };
  return retry(reason, status, retryAfter(response.headers, now));
}

function answered(body: unknown, count: number, status: number): Verdict | undefined {
  const { status: word, accepted, duplicates, rejected } = (body ?? {}) as Record<string, unknown>;
  if ((word !== "success" && word !== "accepted") || typeof accepted !== "number" || !Array.isArray(rejected)) return undefined;
  const refused = new Map<number, string>();
  for (const entry of rejected as unknown[]) {
    const { index, error } = (entry ?? {}) as Record<string, unknown>;
    if (Number.isInteger(index) && (index as number) >= 0 && (index as number) < count) refused.set(index as number, String(error));
  }
  const known = typeof duplicates === "number" ? duplicates : 0;
  // Anything else is the response to another batch, from a cache on the way.
  if (accepted + known + refused.size !== count) return undefined;
  const again = new Set([...refused.keys()].filter((index) => NOT_STORED.includes(refused.get(index) as string)));
  for (const index of again) refused.delete(index);
  return { kind: "answered", duplicates: known, refused, again, status };
}

function badRequest(error: ErrorBody, count: number, compressed: boolean): Verdict {
  if (count === 1 && error.error !== "Bad Request") return allRefused(error.error, count, 400);
  if (error.message.startsWith("Every event in the batch was rejected")) return allRefused(error.error, count, 400);
  // The body did not arrive as it was sent.
  if (error.error === "Bad Request") {
    const reason = `Status 400: ${error.message}`;
    return compressed ? { kind: "uncompressed", reason, status: 400 } : retry(reason, 400, 0);
  }
  return { kind: "split", status: 400 };
}

/** Every event is refused. Of a batch the service gives the reason for the first one only. */
function allRefused(error: string, count: number, status: number): Verdict {
  const refused = new Map<number, string>();
  for (let at = 0; at < count; at++) {
    refused.set(at, at === 0 || status === 403 ? error : `Refused, as all events of its batch; the first one: ${error}`);
  }
  return { kind: "answered", duplicates: 0, refused, again: new Set(), status };
}

/** Statuses that no later attempt changes, unless somebody changes the key, the address, or a proxy on the way. */
function needsSetup(status: number): boolean {
  return (status >= 300 && status < 500 && status !== 408 && status !== 425 && status !== 429) || status === 0;
}

function retry(reason: string, status: number | undefined, after: number): Verdict {
  return { kind: "retry", reason, status, retryAfter: after, setup: status !== undefined && needsSetup(status) };
}

/** Returns `Retry-After`, seconds or a date, in milliseconds from now; at most a day. */
export function retryAfter(headers: Headers, now: number): number {
  const value = headers.get("Retry-After")?.trim() ?? "";
  const wait = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(wait) ? Math.min(Math.max(wait, 0), DAY) : 0;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorBody(body: unknown): ErrorBody | undefined {
  const { error, message } = (body ?? {}) as Record<string, unknown>;
  return typeof error === "string" && typeof message === "string" ? { error, message } : undefined;
}
