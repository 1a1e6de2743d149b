// Sends one body and reads the response.

import { reasonOf } from "./errors.js";
import type { Platform } from "./platform.js";
import type { Settings } from "./options.js";

/** A response, or why there is none. */
export type Reply = { status: number; headers: Headers; text: string } | { failure: string };

// A body that fits into one packet gains nothing from compression.
const SMALL = 1024;
// The longest response to a batch, with a thousand refusals, is a tenth of this.
const MAX_RESPONSE = 1024 * 1024;

export class Poster {
  readonly #platform: Platform;
  readonly #settings: Settings;
  readonly #timeout: number;
  readonly #end = new AbortController();
  readonly #noStore = knowsCache();
  #endpoint = 0;

  constructor(platform: Platform, settings: Settings, timeout: number) {
    this.#platform = platform;
    this.#settings = settings;
    this.#timeout = timeout;
  }

  /** Breaks off what is being sent. */
  end(): void {
    this.#end.abort();
  }

  async post(text: string, compress: boolean): Promise<Reply> {
    const headers: Record<string, string> = { "Content-Type": "application/json", Accept: "application/json" };
    if (this.#settings.apiKey !== undefined) headers["X-API-Key"] = this.#settings.apiKey;
    let body: string | Uint8Array<ArrayBuffer> = text;
    if (compress && text.length >= SMALL) {
      const compressed = await this.#platform.gzip(text).catch(() => undefined);
      if (compressed !== undefined) {
        headers["Content-Encoding"] = "gzip";
        body = compressed;
      }
    }
    return this.#tryEndpoints({ method: "POST", headers, body });
  }

  async #tryEndpoints(request: RequestInit): Promise<Reply> {
    const { endpoints } = this.#settings;
    let first: unknown;
    for (let tries = 0; tries < endpoints.length; tries++) {
      const at = (this.#endpoint + tries) % endpoints.length;
      try {
        const response = await this.#inTime((signal) => exchange(endpoints[at] as string, { ...request, signal, ...this.#noStore }));
        this.#endpoint = at;
        return response;
      } catch (error) {
        first ??= error;
        if (error instanceof TooSlow || this.#end.signal.aborted) break;
      }
    }
    return { failure: `Cannot reach ${new URL(endpoints[0] as string).origin}: ${reasonOf(first)}` };
  }

  async #inTime<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const { promise, reject } = failing();
    const stop = (error: Error) => {
      controller.abort();
      reject(error);
    };
    const ended = () => stop(new Error("the client was closed"));
    if (this.#end.signal.aborted) ended();
    this.#end.signal.addEventListener("abort", ended);
    const timer = setTimeout(() => stop(new TooSlow(`no response within ${this.#timeout / 1000} s`)), this.#timeout);
    try {
      // Raced, because not every runtime breaks off a body when it is told to.
      return await Promise.race([work(controller.signal), promise]);
    } finally {
      clearTimeout(timer);
      this.#end.signal.removeEventListener("abort", ended);
    }
  }
}

class TooSlow extends Error {}

function failing(): { promise: Promise<never>; reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<never>((_, fail) => (reject = fail));
  // Nobody may be waiting for it any more when it fails.
  promise.catch(() => {});
  return { promise, reject };
}

async function exchange(endpoint: string, request: RequestInit): Promise<Reply> {
  // A redirect is not followed: it would take the key to another address.
  const response = await fetch(endpoint, { ...request, redirect: "manual" });
  return { status: response.status, headers: response.headers, text: await read(response) };
}

async function read(response: Response): Promise<string> {
  if (response.body === null) return "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > MAX_RESPONSE) {
      await reader.cancel();
      return "";
    }
  }
}

/** Next.js may cache what `fetch` returns unless it is told not to. Some edge runtimes refuse the option. */
function knowsCache(): RequestInit {
  try {
    new Request("http://localhost", { cache: "no-store" });
    return { cache: "no-store" };
  } catch {
    return {};
  }
}
