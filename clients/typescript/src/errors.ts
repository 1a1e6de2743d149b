// Errors for `onError`. None of them has an event or the key in it.

/** Why an attempt to send failed, and when the next one follows. */
export class SendError extends Error {
  override readonly name = "SendError";
  /** The status of the response, if there was one. */
  readonly status: number | undefined;
  /** Milliseconds until the next attempt. */
  readonly retryIn: number;

  constructor(reason: string, status: number | undefined, retryIn: number) {
    super(`${reason}. Trying again in ${Math.ceil(retryIn / 1000)} s.`);
    this.status = status;
    this.retryIn = retryIn;
  }
}

/** Returns the deepest reason that a runtime gives, such as `connect ECONNREFUSED 127.0.0.1:5001`. */
export function reasonOf(error: unknown): string {
  let reason = "unknown error";
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const { code } = at as { code?: unknown };
    // Node.js tries several addresses of a name and leaves the message of the whole empty.
    reason = at.message || (typeof code === "string" ? code : at.name);
  }
  return reason;
}
