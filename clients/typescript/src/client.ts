// The client: what `createClient` returns in each runtime.

import { reasonOf } from "./errors.js";
import { isServerless, refuseBrowser, waitUntil } from "./host.js";
import { Notices } from "./notices.js";
import { readOptions } from "./options.js";
import { type Timings, TIMINGS } from "./pace.js";
import type { Platform } from "./platform.js";
import { Poster } from "./post.js";
import { ID_BYTES, Queue, withId } from "./queue.js";
import { MAX_EVENT_BYTES, Sender } from "./sender.js";
import type { Spool } from "./spool.js";
import type { Client, ClientOptions, Report, Stats } from "./types.js";
import { uuidMaker } from "./uuid.js";

// How often a spool says that it is in use, and looks for what other processes left.
const SPOOL_INTERVAL = 15_000;

export function makeClient(platform: Platform, options: ClientOptions, timings: Timings = TIMINGS): Client {
  refuseBrowser();
  const settings = readOptions(options);
  const notices = new Notices(options);
  const stats: Omit<Stats, "waiting" | "waitingBytes"> = {
    tracked: 0, recovered: 0, sent: 0, duplicates: 0, refused: 0, dropped: 0, requests: 0, failures: 0,
  };
  const queue = new Queue();
  const spool = openSpool(platform, options, notices);
  const poster = new Poster(platform, settings, timings.timeout);
  // On a host that may freeze, events are sent at once: later there may be no time.
  const pace = isServerless() ? { ...timings, linger: 0 } : timings;
  const sender = new Sender(queue, poster, spool, notices, stats as Stats, pace);
  const nextId = uuidMaker(platform.fillRandom);
  let closing: Promise<void> | undefined;
  let closed = false;
  let leftAt = -1;

  const drop = (reason: "full" | "closed" | "exit", events: number, bytes: number) => {
    stats.dropped += events;
    notices.drop(reason, events, bytes);
  };
  const refuse = (report: unknown, error: string) => {
    stats.refused++;
    setTimeout(() => notices.reject(report, { status: 0, error }), 0);
  };

  function add(report: Report): string {
    stats.tracked++;
    const now = Date.now();
    const given = (report as Report | null)?.event_id;
    const id = typeof given === "string" ? given : nextId(now);
    if (typeof report !== "object" || report === null || Array.isArray(report)) {
      refuse(report, "Metrics data must be a JSON object");
      return id;
    }
    let text: string | undefined;
    try {
      // An `event_id` that is no text is replaced, not joined by another: some readers of JSON refuse a name twice.
      const complete = given === undefined || typeof given === "string" ? report : { ...(report as Report), event_id: id };
      text = JSON.stringify(complete) as string | undefined;
    } catch (error) {
      refuse(report, `The event is not JSON: ${reasonOf(error)}`);
      return id;
    }
    if (text === undefined || text[0] !== "{") {
      refuse(report, "Metrics data must be a JSON object");
      return id;
    }
    const missing = given === undefined ? id : undefined;
    const bytes = platform.utf8Length(text) + (missing === undefined ? 0 : ID_BYTES);
    if (bytes > MAX_EVENT_BYTES) refuse(report, "Payload Too Large");
    else if (closed) drop("closed", 1, bytes);
    else if (queue.length >= settings.maxEvents || queue.bytes + bytes > settings.maxBytes) drop("full", 1, bytes);
    else {
      queue.push({ id: missing, report: text, bytes, segment: spool?.append(withId(missing, text)) });
      sender.schedule(now);
    }
    return id;
  }

  const sent = () => sender.flush(Date.now() + timings.wait);
  const flush = (): Promise<void> => {
    notices.deliverDrops();
    return sent();
  };

  const dropWaiting = () => {
    const waiting = queue.peek(Infinity, Infinity);
    queue.remove(waiting.length);
    let bytes = 0;
    let lost = 0;
    for (const entry of waiting) {
      // What is in the spool is not lost, and goes on waiting there.
      if (entry.segment !== undefined) queue.push(entry);
      else (lost++, (bytes += entry.bytes));
    }
    if (lost > 0) drop("exit", lost, bytes);
    notices.deliverDrops();
  };

  const recover = () => {
    // Half of the buffer stays free for new events: they would be dropped, while those in files can wait.
    const room = { events: settings.maxEvents / 2 - queue.length, bytes: settings.maxBytes / 2 - queue.bytes };
    for (const entry of spool?.recover(room) ?? []) {
      stats.recovered++;
      queue.push(entry);
    }
    sender.schedule();
  };
  const upkeep = spool && setInterval(() => (spool.touch(), recover()), SPOOL_INTERVAL);
  (upkeep as unknown as { unref?: () => void } | undefined)?.unref?.();
  if (spool !== undefined) recover();

  const stay = platform.atExit?.({
    leave: async () => {
      // `beforeExit` comes again after each flush. What could not be sent then is not tried again, or the process would never end.
      if (leftAt === queue.pushed) return;
      leftAt = queue.pushed;
      await flush();
    },
    exit: dropWaiting,
  });

  async function end(): Promise<void> {
    await flush();
    closed = true;
    stay?.();
    clearInterval(upkeep);
    sender.end();
    dropWaiting();
    spool?.close();
  }

  return {
    track: (report) => {
      let id = "";
      try {
        id = add(report);
      } catch (error) {
        // A getter of the caller's.
        refuse(report, `The event cannot be read: ${reasonOf(error)}`);
      }
      try {
        // The host has to wait for this event even if it waits for others already: each request has a context of its own.
        waitUntil()?.(sent());
      } catch (error) {
        notices.error(new Error(`The host's waitUntil failed: ${reasonOf(error)}`));
      }
      return id;
    },
    flush,
    close: () => (closing ??= end()),
    stats: () => ({ ...stats, waiting: queue.length, waitingBytes: queue.bytes }),
  };
}

function openSpool(platform: Platform, { spoolDir }: ClientOptions, notices: Notices): Spool | undefined {
  if (spoolDir === undefined || spoolDir === "") return undefined;
  if (platform.openSpool === undefined) throw new TypeError("spoolDir needs files, which this runtime does not have");
  return platform.openSpool(spoolDir, (error) => notices.error(error));
}
