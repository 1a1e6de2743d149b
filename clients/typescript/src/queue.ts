// The events that wait, oldest first.

import type { Segment } from "./spool.js";

export interface Entry {
  /** The event's id, if `report` does not have one. */
  readonly id: string | undefined;
  /** The event in JSON, as it was reported. */
  readonly report: string;
  /** The length of the event with its id, in UTF-8. */
  readonly bytes: number;
  /** The file of the spool that holds it, if one does. */
  readonly segment: Segment | undefined;
}

/** Returns an event as it is sent. Not done in `track`: copying the text is half of what it would cost. */
export function withId(id: string | undefined, report: string): string {
  if (id === undefined) return report;
  return report === "{}" ? `{"event_id":"${id}"}` : `{"event_id":"${id}",${report.slice(1)}`;
}

/** How much longer `withId` makes an event. */
export const ID_BYTES = withId("00000000-0000-7000-8000-000000000000", "{0}").length - "{0}".length;

export class Queue {
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  #pushed = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** How many entries were ever added. */
  get pushed(): number {
    return this.#pushed;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#bytes += entry.bytes;
    this.#pushed++;
  }

  /** Puts entries that were removed back in front of the others. */
  putBack(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    this.#entries = [...entries, ...this.#entries.slice(this.#head)];
    this.#head = 0;
    for (const { bytes } of entries) this.#bytes += bytes;
  }

  /** Returns the oldest entries, as many as fit; at least one, if there is one. */
  peek(maxEvents: number, maxBytes: number): Entry[] {
    const batch: Entry[] = [];
    let bytes = 0;
    for (let at = this.#head; at < this.#entries.length && batch.length < maxEvents; at++) {
      const entry = this.#entries[at] as Entry;
      // One more for the comma.
      bytes += entry.bytes + 1;
      if (bytes > maxBytes && batch.length > 0) break;
      batch.push(entry);
    }
    return batch;
  }

  /** Removes the oldest entries. */
  remove(count: number): void {
    for (let left = count; left > 0 && this.length > 0; left--) {
      this.#bytes -= (this.#entries[this.#head] as Entry).bytes;
      this.#entries[this.#head++] = undefined;
    }
    if (this.#head === this.#entries.length || this.#head >= 4096) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }
}
