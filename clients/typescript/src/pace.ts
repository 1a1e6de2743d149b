// When the next batch is sent.

export interface Timings {
  /** How long an event waits for others to be sent with. */
  linger: number;
  /** How long a response may take. The service gives up on its database after at most 2.5 s. */
  timeout: number;
  /** How long `flush` and `close` wait. Shorter than the ten seconds between SIGTERM and SIGKILL that containers usually get. */
  wait: number;
  firstRetry: number;
  lastRetry: number;
  /** The least wait after a response that asks for another setting. */
  setupRetry: number;
}

export const TIMINGS: Timings = {
  linger: 1000,
  timeout: 10_000,
  wait: 8000,
  firstRetry: 500,
  lastRetry: 30_000,
  setupRetry: 30_000,
};

const LONGEST_LINGER = 60_000;

/** Returns the wait before the next attempt: doubled with each failure, half of it random, so that clients do not all come back at once. */
export function backoff(timings: Timings, failures: number, random: () => number = Math.random): number {
  const full = Math.min(timings.lastRetry, timings.firstRetry * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}

/** Returns the wait for `Retry-After`: never less than asked for, and up to a tenth or five seconds more. */
export function obey(retryAfter: number, random: () => number = Math.random): number {
  return retryAfter + Math.min(retryAfter / 10, 5000) * random();
}

/**
 * Returns how long to collect events for the next batch. Once half of the quota is used, the rest is spread over the time until the
 * window closes: it is better to send a little later each time than not at all for the rest of an hour.
 */
export function linger(timings: Timings, headers: Headers, now: number): number {
  const [limit, remaining, reset] = ["Limit", "Remaining", "Reset"].map((name) => Number(headers.get(`X-RateLimit-${name}`) ?? NaN));
  if (limit === undefined || remaining === undefined || reset === undefined) return timings.linger;
  const left = reset * 1000 - now;
  if (!(remaining > 0) || !(remaining < limit / 2) || !(left > 0)) return timings.linger;
  return Math.min(Math.max(left / remaining, timings.linger), LONGEST_LINGER);
}
