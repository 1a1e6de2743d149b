// What differs between the runtimes.

import type { Spool } from "./spool.js";

/** What a client does when the process ends. */
export interface Leaver {
  /** Sends what is waiting, as far as there is time. */
  leave(): Promise<void>;
  /** Reports what is lost. The process ends when this returns. */
  exit(): void;
}

export interface Platform {
  fillRandom(bytes: Uint8Array): void;
  /** Returns the length of the text in UTF-8. */
  utf8Length(text: string): number;
  /** Returns the text compressed, or undefined where that is not possible. */
  gzip(text: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Opens a spool; undefined where there are no files. */
  openSpool?: ((directory: string, onError: (error: Error) => void) => Spool) | undefined;
  /** Has the client leave when the process ends. Returns what takes this back. */
  atExit?: ((leaver: Leaver) => () => void) | undefined;
}

/** Returns an environment variable, if it is set and not empty. */
export function environment(name: string): string | undefined {
  try {
    // Not written as `process.env.NAME`: bundlers replace that by the value, which would put a key into the bundle.
    const runtime = globalThis as { process?: { env?: Record<string, string | undefined> } };
    return runtime.process?.env?.[name] || undefined;
  } catch {
    // Deno without the permission to read it.
    return undefined;
  }
}

interface TimerHandle {
  unref?: () => void;
}

/** Starts a timer that does not keep the process alive. */
export function backgroundTimer(callback: () => void, delay: number): ReturnType<typeof setTimeout> {
  const timer = setTimeout(callback, delay);
  const handle = timer as unknown;
  const { Deno } = globalThis as { Deno?: { unrefTimer?: (id: number) => void } };
  if (typeof handle === "number") Deno?.unrefTimer?.(handle);
  else (handle as TimerHandle).unref?.();
  return timer;
}
