// Names of the spool's files: which process a file belongs to, and whether that process is gone.

import { hostname } from "node:os";
import process from "node:process";

const SUFFIX = ".events";
// A process touches its files every fifteen seconds.
const STALE = 60_000;
// How far apart two readings of the start of one process may be, in seconds.
const SAME_START = 3;

export interface Owner {
  host: string;
  pid: number;
  /** When the process started, in seconds since 1970. Containers give the same process id to one process after another. */
  start: number;
  /** Tells the clients of one process apart. */
  client: string;
}

export function thisProcess(client: string): Owner {
  return { host: hostName(), pid: process.pid, start: Math.round(Date.now() / 1000 - process.uptime()), client };
}

function hostName(): string {
  try {
    return hostname().replace(/[^A-Za-z0-9-]/g, "-") || "host";
  } catch {
    // Deno without the permission to ask.
    return "host";
  }
}

/** Returns a file's name. Names sort by the time at which the files were begun. */
export function fileName(begun: number, number: number, owner: Owner | undefined): string {
  const of = owner === undefined ? "left" : `${owner.host}~${owner.pid}~${owner.start}~${owner.client}`;
  return `${String(begun).padStart(15, "0")}_${String(number).padStart(6, "0")}_${of}${SUFFIX}`;
}

/** Returns when a file was begun, its number and its owner; undefined if it is no file of a spool. */
export function parseName(name: string): { begun: number; number: number; owner: Owner | undefined } | undefined {
  const match = /^(\d+)_(\d+)_(?:left|([^~_]+)~(\d+)~(\d+)~([^~_]+))\.events$/.exec(name);
  if (match === null) return undefined;
  const [, begun, number, host, pid, start, client] = match;
  const owner = host && client ? { host, pid: Number(pid), start: Number(start), client } : undefined;
  return { begun: Number(begun), number: Number(number), owner };
}

/** Whether the owner of a file that was touched at `touched` has ended, as far as can be seen. If it has not, its events are sent twice, and counted once. */
export function isGone(owner: Owner | undefined, touched: number, self: Owner): boolean {
  if (owner === undefined || Date.now() - touched > STALE) return true;
  if (owner.host !== self.host) return false;
  if (owner.pid !== self.pid) return !isRunning(owner.pid);
  return Math.abs(owner.start - self.start) > SAME_START;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Any other error, such as EPERM, says only that we may not ask.
    return (error as { code?: string }).code !== "ESRCH";
  }
}
