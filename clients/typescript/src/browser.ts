// For bundles that go to a browser: nothing that could send, and nothing that reads a key.

import { NOT_IN_A_BROWSER } from "./refusal.js";
import type { Client, ClientOptions } from "./types.js";

export type * from "./types.js";

export function createClient(_options: ClientOptions): Client {
  throw new Error(NOT_IN_A_BROWSER);
}

export function mayFreeze(): boolean {
  return false;
}
