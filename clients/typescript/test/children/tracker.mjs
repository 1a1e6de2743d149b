// Tracks events until it is killed, and says after each one that track() has returned.
import { writeSync } from "node:fs";
import { createClient } from "../../dist/esm/node.js";

const client = createClient({
  url: process.env.URL_OF_SERVICE, spoolDir: process.env.SPOOL, onError() {}, onReject: () => writeSync(1, "R"), onDrop: () => writeSync(1, "D"),
});
const report = { business_id: "acme", response_time_ms: 120, tokens_used: 42 };
for (;;) {
  for (let n = 0; n < 20 && client.stats().waiting < 9000; n++) {
    writeSync(1, "b");
    client.track(report);
    writeSync(1, "e");
  }
  await new Promise((done) => setTimeout(done, 2));
}
