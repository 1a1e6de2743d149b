// Tells the caller what happened to events.

import type { ClientOptions, DropReason, Refusal } from "./types.js";

type Callbacks = Pick<ClientOptions, "onReject" | "onDrop" | "onError">;

const WARNING_INTERVAL = 60_000;

/** Calls a function of the caller's. What it throws is not our caller's problem. */
function call(callback: () => unknown): void {
  try {
    const result = callback() as { then?: (done: undefined, failed: () => void) => void } | undefined;
    if (typeof result?.then === "function") result.then(undefined, () => {});
  } catch {
    // A broken callback must not keep events from being sent.
  }
}

/** Returns a function that warns on the console at most once a minute: whoever has no callback should still hear of it. */
function warner(): (text: string) => void {
  let next = 0;
  return (text) => {
    const now = Date.now();
    if (now < next) return;
    next = now + WARNING_INTERVAL;
    call(() => console.warn(`@mlops-service/client: ${text}`));
  };
}

export class Notices {
  readonly #callbacks: Callbacks;
  readonly #dropped = new Map<DropReason, { events: number; bytes: number }>();
  readonly #warnings = { reject: warner(), drop: warner(), error: warner() };

  constructor(callbacks: Callbacks) {
    this.#callbacks = callbacks;
  }

  reject(event: unknown, refusal: Refusal): void {
    const { onReject } = this.#callbacks;
    if (onReject) call(() => onReject(event, refusal));
    else this.#warnings.reject(`an event was refused: ${refusal.error}`);
  }

  error(error: Error): void {
    const { onError } = this.#callbacks;
    if (onError) call(() => onError(error));
    else this.#warnings.error(error.message);
  }

  /** Counts lost events. They are told together, later: `track` must return at once, however many there are. */
  drop(reason: DropReason, events: number, bytes: number): void {
    if (this.#dropped.size === 0) setTimeout(() => this.deliverDrops(), 0);
    let sum = this.#dropped.get(reason);
    if (sum === undefined) this.#dropped.set(reason, (sum = { events: 0, bytes: 0 }));
    sum.events += events;
    sum.bytes += bytes;
  }

  /** Tells of the events that were lost since the last call. */
  deliverDrops(): void {
    const { onDrop } = this.#callbacks;
    const drops = [...this.#dropped];
    this.#dropped.clear();
    for (const [reason, sum] of drops) {
      if (onDrop) call(() => onDrop({ reason, ...sum }));
      else this.#warnings.drop(`${sum.events} events were dropped (${reason})`);
    }
  }
}
