// Takes events from the queue and sends them, one batch at a time and in order.

import { reasonOf, SendError } from "./errors.js";
import type { Notices } from "./notices.js";
import { backoff, linger, obey, type Timings } from "./pace.js";
import { backgroundTimer } from "./platform.js";
import type { Poster } from "./post.js";
import { type Entry, type Queue, withId } from "./queue.js";
import type { Spool } from "./spool.js";
import type { Stats } from "./types.js";
import { judge, type Verdict } from "./verdict.js";

/** The service takes at most 1,000 events and 1 MiB. */
const MAX_EVENTS = 1000;
const MAX_BYTES = 1024 * 1024 - 64;
/** The largest event that fits into a batch. */
export const MAX_EVENT_BYTES = MAX_BYTES - 1;

// How much later than planned a step of a run may be before the run is taken for dead.
const SLACK = 5000;

interface Waiter {
  /** How many events it still waits for. They are the oldest in the queue. */
  left: number;
  deadline: number;
  resolve: () => void;
}

const textOf = ({ id, report }: Entry) => withId(id, report);

export class Sender {
  readonly #queue: Queue;
  readonly #poster: Poster;
  readonly #spool: Spool | undefined;
  readonly #notices: Notices;
  readonly #stats: Stats;
  readonly #timings: Timings;

  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDue = 0;
  /** The number of the run that is sending; 0 while none is. */
  #run = 0;
  #runs = 0;
  #runDue = 0;
  #waiters: Waiter[] = [];

  #failures = 0;
  #notBefore = 0;
  #linger: number;
  #lingerUntil = 0;
  #limit = MAX_EVENTS;
  #ceiling = MAX_EVENTS;
  #compress = true;
  #compressNext = true;
  #ended = false;

  constructor(queue: Queue, poster: Poster, spool: Spool | undefined, notices: Notices, stats: Stats, timings: Timings) {
    this.#queue = queue;
    this.#poster = poster;
    this.#spool = spool;
    this.#notices = notices;
    this.#stats = stats;
    this.#timings = timings;
    this.#linger = timings.linger;
  }

  /** Sees to it that what is in the queue is sent, by now or by the time at which it is due. */
  schedule(now = Date.now()): void {
    if (this.#queue.length === 0 || this.#ended) return;
    // Some edge runtimes end timers and requests with the HTTP request that began them. A run that is long overdue is gone.
    if (this.#run !== 0 && now < this.#runDue) return;
    if (this.#lingerUntil === 0) this.#lingerUntil = now + this.#linger;
    const due = Math.max(this.#notBefore, this.#urgent() ? now : this.#lingerUntil);
    if (this.#timer !== undefined && this.#timerDue <= due && now < this.#timerDue + SLACK) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = backgroundTimer(() => void this.#send(), due - now);
  }

  /** Resolves when all that is in the queue now is done with, or when that cannot be before the deadline. */
  flush(deadline: number): Promise<void> {
    if (this.#queue.length === 0 || this.#ended || this.#notBefore > deadline) return Promise.resolve();
    return new Promise((resolve) => {
      // Unlike the timer of the next batch, this one keeps the process alive.
      const timer = setTimeout(() => this.#release((waiter) => waiter === own), deadline - Date.now());
      const own: Waiter = {
        left: this.#queue.length,
        deadline,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      this.#waiters.push(own);
      this.schedule();
    });
  }

  /** Stops sending. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#run = 0;
    this.#poster.end();
    this.#release(() => true);
  }

  #urgent(): boolean {
    return this.#waiters.length > 0 || this.#queue.length >= this.#limit || this.#queue.bytes >= MAX_BYTES;
  }

  async #send(): Promise<void> {
    this.#timer = undefined;
    const run = ++this.#runs;
    this.#run = run;
    try {
      while (this.#queue.length > 0) {
        const now = Date.now();
        if (now < this.#notBefore || (now < this.#lingerUntil && !this.#urgent())) break;
        this.#runDue = now + this.#timings.timeout + SLACK;
        const batch = this.#queue.peek(this.#limit, MAX_BYTES);
        const verdict = await this.#attempt(batch);
        // Another run has taken over. It sends the same events, and the service knows them by their ids.
        if (this.#run !== run) return;
        this.#apply(batch, verdict);
      }
    } catch (error) {
      // A bug here must neither lose events nor end the process with an unhandled rejection.
      if (this.#run === run) this.#fail(reasonOf(error), undefined, 0);
    }
    if (this.#run !== run) return;
    this.#run = 0;
    this.schedule();
  }

  async #attempt(batch: Entry[]): Promise<Verdict> {
    const text = `{"events":[${batch.map(textOf).join(",")}]}`;
    const compress = this.#compress && this.#compressNext;
    this.#stats.requests++;
    const response = await this.#poster.post(text, compress);
    if ("headers" in response) this.#linger = linger(this.#timings, response.headers, Date.now());
    return judge(response, batch.length, compress, Date.now());
  }

  #apply(batch: Entry[], verdict: Verdict): void {
    this.#compressNext = true;
    switch (verdict.kind) {
      case "answered":
        return this.#settle(batch, verdict);
      case "split":
        this.#limit = Math.max(1, Math.floor(batch.length / 2));
        if (verdict.status === 413) this.#ceiling = this.#limit;
        return;
      case "uncompressed":
        if (verdict.status === 415) this.#compress = false;
        this.#compressNext = false;
        return this.#fail(verdict.reason, verdict.status, 0);
      case "retry":
        return this.#fail(verdict.reason, verdict.status, Math.max(obey(verdict.retryAfter), verdict.setup ? this.#timings.setupRetry : 0));
    }
  }

  #settle(batch: Entry[], { refused, again, duplicates, status }: Verdict & { kind: "answered" }): void {
    for (const [index, error] of refused) {
      this.#notices.reject(JSON.parse(textOf(batch[index] as Entry)), { status, error });
    }
    const left = batch.filter((_, index) => again.has(index)).map((entry) => this.#anew(entry));
    const done = batch.length - left.length;
    this.#stats.refused += refused.size;
    this.#stats.duplicates += duplicates;
    this.#stats.sent += done - refused.size - duplicates;
    this.#queue.remove(batch.length);
    this.#queue.putBack(left);
    this.#spool?.settle(batch);
    for (const waiter of this.#waiters) waiter.left -= batch.slice(0, waiter.left).filter((_, index) => !again.has(index)).length;
    // The wait grows only while nothing gets through: an event that always fails must not slow down the others more and more.
    if (done > 0) this.#failures = 0;
    this.#limit = Math.min(this.#ceiling, this.#limit * 2);
    this.#lingerUntil = Date.now() + this.#linger;
    if (left.length > 0) this.#fail(`The service could not store ${left.length} of ${batch.length} events`, status, 0);
    this.#release((waiter) => waiter.left === 0);
  }

  /** Returns an entry that is sent again while others behind it are done with: a file counts these from its beginning. */
  #anew(entry: Entry): Entry {
    return entry.segment === undefined ? entry : { ...entry, segment: this.#spool?.append(textOf(entry)) };
  }

  #fail(reason: string, status: number | undefined, least: number): void {
    this.#stats.failures++;
    const wait = Math.max(backoff(this.#timings, ++this.#failures), least);
    this.#notBefore = Date.now() + wait;
    this.#notices.error(new SendError(reason, status, wait));
    this.#release((waiter) => waiter.deadline < this.#notBefore);
  }

  #release(which: (waiter: Waiter) => boolean): void {
    const released = this.#waiters.filter(which);
    this.#waiters = this.#waiters.filter((waiter) => !released.includes(waiter));
    for (const waiter of released) waiter.resolve();
  }
}
