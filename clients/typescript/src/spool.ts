// What a spool does; `file-spool.ts` is the one that there is. In a file of its own, so that bundles without files have none of it.

import type { Entry } from "./queue.js";

/** A file of the spool. */
export interface Segment {
  /** How many of its events are done with. */
  settled: number;
}

export interface Spool {
  /** Writes an event. Returns the file that has it, or undefined if that failed. */
  append(event: string): Segment | undefined;
  /** Notes that the entries need not be sent again, and deletes files that are done with. */
  settle(entries: readonly Entry[]): void;
  /** Takes over events that other processes left, oldest first, as far as there is room for them. */
  recover(room: Room): Entry[];
  /** Tells other processes that this one is alive. */
  touch(): void;
  /** Leaves what is not settled to whoever opens the spool next. */
  close(): void;
}

export interface Room {
  events: number;
  bytes: number;
}
