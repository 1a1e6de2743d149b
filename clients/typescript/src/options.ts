// Checks what `createClient` is given, so that mistakes show at once and not when the first event is sent.

import { environment } from "./platform.js";
import type { ClientOptions } from "./types.js";

export interface Settings {
  /** The addresses of `/track/batch`; the first that can be reached is used. */
  endpoints: string[];
  apiKey: string | undefined;
  maxEvents: number;
  maxBytes: number;
}

export function readOptions(options: ClientOptions): Settings {
  return {
    endpoints: endpoints(options.url),
    apiKey: key(options.apiKey ?? environment("MLOPS_API_KEY")),
    maxEvents: bound("maxEvents", options.maxEvents, 10_000),
    maxBytes: bound("maxBytes", options.maxBytes, 8 * 1024 * 1024),
  };
}

function endpoints(url: string): string[] {
  let base: URL;
  try {
    base = new URL(url);
  } catch {
    throw new TypeError("url must be the service's address, such as http://localhost:5001");
  }
  if (base.protocol !== "http:" && base.protocol !== "https:") throw new TypeError("url must begin with http:// or https://");
  if (base.username || base.password) throw new TypeError("url must have no user name or password; the key is apiKey");
  if (base.search || base.hash) throw new TypeError("url must have no query and no fragment");
  const path = `${base.pathname.replace(/\/+$/, "")}/track/batch`;
  const hosts = [base.host];
  // Where `localhost` resolves to ::1 first, Node.js 18 tries no other address, and the service may listen on 127.0.0.1 only. A
  // certificate is for the name, so it stays with https.
  if (base.protocol === "http:" && base.hostname === "localhost") {
    const port = base.port && `:${base.port}`;
    hosts.push(`127.0.0.1${port}`, `[::1]${port}`);
  }
  return hosts.map((host) => `${base.protocol}//${host}${path}`);
}

function key(value: string | undefined): string | undefined {
  const trimmed = value?.trim();
  if (!trimmed) return undefined;
  // A header takes nothing else, and the runtime's error would have the key in it.
  if (!/^[\x21-\x7e]+$/.test(trimmed)) throw new TypeError("apiKey must be printable ASCII without spaces");
  return trimmed;
}

function bound(name: string, value: number | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (!Number.isSafeInteger(value) || value < 1) throw new TypeError(`${name} must be a whole number of at least 1`);
  return value;
}
