// For Node.js, Bun and Deno.

import { makeClient } from "./client.js";
import { platform } from "./node-platform.js";
import type { Client, ClientOptions } from "./types.js";

export { mayFreeze } from "./host.js";
export type * from "./types.js";

/** Creates a client. Throws if an option is invalid. */
export function createClient(options: ClientOptions): Client {
  return makeClient(platform, options);
}
