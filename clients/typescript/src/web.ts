// For edge runtimes: web standards only.

import { makeClient } from "./client.js";
import type { Platform } from "./platform.js";
import type { Client, ClientOptions } from "./types.js";

export { mayFreeze } from "./host.js";
export type * from "./types.js";

const encoder = new TextEncoder();

const platform: Platform = {
  fillRandom: (bytes) => void crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>),
  utf8Length: (text) => encoder.encode(text).length,
  gzip: async (text) => {
    if (typeof CompressionStream === "undefined") return undefined;
    const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },
};

export function createClient(options: ClientOptions): Client {
  return makeClient(platform, options);
}
