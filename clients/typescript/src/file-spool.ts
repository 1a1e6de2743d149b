// The spool: waiting events in files, one event a line. An event is written before `track` returns, so that a crash of the process loses
// none; after a power failure, up to the last second may be missing. Beside a file stands how many of its events are done with.

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { join } from "node:path";
import { reasonOf } from "./errors.js";
import { backgroundTimer } from "./platform.js";
import type { Entry } from "./queue.js";
import type { Room, Segment, Spool } from "./spool.js";
import { fileName, isGone, type Owner, parseName, thisProcess } from "./spool-name.js";

const MAX_SEGMENT_BYTES = 256 * 1024;
const SYNC_INTERVAL = 1000;
const NOTE = ".settled";
// Events may name customers' sessions: nobody else may read them.
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

interface FileSegment extends Segment {
  begun: number;
  number: number;
  path: string;
  events: number;
  bytes: number;
  /** The open file, while events are added. */
  file: number | undefined;
}

export function openFileSpool(directory: string, onError: (error: Error) => void): Spool {
  fs.mkdirSync(directory, { recursive: true, mode: DIRECTORY_MODE });
  return new FileSpool(directory, onError);
}

class FileSpool implements Spool {
  readonly #directory: string;
  readonly #onError: (error: Error) => void;
  readonly #self: Owner;
  readonly #segments = new Set<FileSegment>();
  #current: FileSegment | undefined;
  #numbers = 0;
  #syncing = false;

  constructor(directory: string, onError: (error: Error) => void) {
    this.#directory = directory;
    this.#onError = onError;
    this.#self = thisProcess(Math.random().toString(36).slice(2, 10));
  }

  append(event: string): Segment | undefined {
    try {
      if (this.#current === undefined || this.#current.bytes > MAX_SEGMENT_BYTES) this.#begin();
      const segment = this.#current as FileSegment;
      fs.writeSync(segment.file as number, `${event}\n`);
      segment.events++;
      segment.bytes += event.length;
      this.#syncSoon();
      return segment;
    } catch (error) {
      this.#report("write to", error);
      // The next event begins a new file: this one may end in half a line.
      this.#endCurrent();
      return undefined;
    }
  }

  settle(entries: readonly Entry[]): void {
    const changed = new Set<FileSegment>();
    for (const { segment } of entries) {
      if (segment === undefined) continue;
      segment.settled++;
      changed.add(segment as FileSegment);
    }
    for (const segment of changed) {
      if (segment.settled < segment.events) this.#note(segment);
      else this.#delete(segment);
    }
  }

  recover(room: Room): Entry[] {
    const entries: Entry[] = [];
    let { events, bytes } = room;
    try {
      const names = fs.readdirSync(this.#directory).sort();
      for (const name of names) {
        // A note whose file is gone: the process ended between deleting the two.
        if (name.endsWith(NOTE) && !names.includes(name.slice(0, -NOTE.length))) {
          this.#quietly(() => fs.unlinkSync(join(this.#directory, name)));
          continue;
        }
        const found = this.#read(name, events, bytes);
        for (const entry of found) {
          events--;
          bytes -= entry.bytes;
          entries.push(entry);
        }
      }
    } catch (error) {
      this.#report("read", error);
    }
    return entries;
  }

  touch(): void {
    const now = new Date();
    for (const { path } of this.#segments) this.#quietly(() => fs.utimesSync(path, now, now));
  }

  close(): void {
    this.#endCurrent();
    for (const segment of this.#segments) {
      const path = join(this.#directory, fileName(segment.begun, segment.number, undefined));
      this.#quietly(() => fs.renameSync(segment.path, path));
      this.#quietly(() => fs.renameSync(settledPath(segment.path), settledPath(path)));
    }
    this.#segments.clear();
  }

  #begin(): void {
    this.#endCurrent();
    const [begun, number] = [Date.now(), this.#numbers++];
    const path = join(this.#directory, fileName(begun, number, this.#self));
    const file = fs.openSync(path, "ax", FILE_MODE);
    this.#current = { begun, number, path, file, events: 0, bytes: 0, settled: 0 };
    this.#segments.add(this.#current);
  }

  /** Closes the file that events are added to. */
  #endCurrent(): void {
    const segment = this.#current;
    this.#current = undefined;
    if (segment?.file === undefined) return;
    const { file } = segment;
    segment.file = undefined;
    this.#quietly(() => fs.closeSync(file));
    if (segment.settled >= segment.events) this.#delete(segment);
  }

  #delete(segment: FileSegment): void {
    if (segment === this.#current) return this.#endCurrent();
    this.#segments.delete(segment);
    // The events first: without the note they would only be sent again.
    this.#quietly(() => fs.unlinkSync(segment.path));
    if (segment.settled > 0) this.#quietly(() => fs.unlinkSync(settledPath(segment.path)));
  }

  #note(segment: FileSegment): void {
    try {
      fs.writeFileSync(settledPath(segment.path), String(segment.settled), { mode: FILE_MODE });
    } catch (error) {
      this.#report("write to", error);
    }
  }

  /** Takes over a file if its owner is gone and there is room for its events. Returns those. */
  #read(name: string, room: number, roomBytes: number): Entry[] {
    const parsed = parseName(name);
    if (parsed === undefined) return [];
    const from = join(this.#directory, name);
    let content: string;
    let settled: number;
    try {
      const { mtimeMs, size } = fs.statSync(from);
      if (!isGone(parsed.owner, mtimeMs, this.#self)) return [];
      // With nothing else waiting it is taken in any case, or it might never be.
      if (size > roomBytes && this.#segments.size > 0) return [];
      content = fs.readFileSync(from, "utf8");
      settled = this.#settled(from);
    } catch {
      // Another process was faster.
      return [];
    }
    const lines = content.split("\n").slice(0, -1).slice(settled).filter(isEvent);
    if (lines.length > room && this.#segments.size > 0) return [];
    const segment = this.#claim(from, parsed.begun, lines.length);
    if (segment === undefined) return [];
    if (lines.length === 0) this.#delete(segment);
    return lines.map((line) => ({ id: undefined, report: line, bytes: Buffer.byteLength(line), segment }));
  }

  /** Renames a file to one of this process; of several that try, one succeeds. */
  #claim(from: string, begun: number, events: number): FileSegment | undefined {
    const number = this.#numbers++;
    const path = join(this.#directory, fileName(begun, number, this.#self));
    const settled = this.#settled(from);
    try {
      fs.renameSync(from, path);
    } catch {
      return undefined;
    }
    this.#quietly(() => fs.renameSync(settledPath(from), settledPath(path)));
    const segment = { begun, number, path, events: settled + events, bytes: 0, settled, file: undefined };
    this.#segments.add(segment);
    this.touch();
    return segment;
  }

  #settled(path: string): number {
    try {
      return Number(fs.readFileSync(settledPath(path), "utf8")) || 0;
    } catch {
      return 0;
    }
  }

  #syncSoon(): void {
    if (this.#syncing) return;
    this.#syncing = true;
    backgroundTimer(() => {
      this.#syncing = false;
      const segment = this.#current;
      if (segment?.file === undefined) return;
      fs.fdatasync(segment.file, (error) => {
        // A file that was closed meanwhile is done with.
        if (error && segment === this.#current) this.#report("write to", error);
      });
    }, SYNC_INTERVAL);
  }

  #report(what: string, error: unknown): void {
    this.#onError(new Error(`Cannot ${what} the spool ${this.#directory}: ${reasonOf(error)}`));
  }

  #quietly(work: () => void): void {
    try {
      work();
    } catch {
      // The file is gone already, or was never written.
    }
  }
}

function settledPath(path: string): string {
  return path + NOTE;
}

/** Whether a line is a whole event. A crash may leave the last one unfinished. */
function isEvent(line: string): boolean {
  try {
    return typeof JSON.parse(line) === "object";
  } catch {
    return false;
  }
}
