// What Node.js, Bun and Deno have.

import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import { gzip } from "node:zlib";
import { atExit } from "./exit.js";
import { openFileSpool } from "./file-spool.js";
import type { Platform } from "./platform.js";

export const platform: Platform = {
  fillRandom: randomFillSync,
  utf8Length: Buffer.byteLength,
  // The lowest level: the processor belongs to the application.
  gzip: (text) => new Promise((resolve, reject) => gzip(text, { level: 1 }, (error, result) => (error ? reject(error) : resolve(result)))),
  openSpool: openFileSpool,
  atExit,
};
