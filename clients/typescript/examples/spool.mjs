// A server that loses no event, even if it crashes, and that says what became of the others.
import { createClient } from "@mlops-service/client";

const client = createClient({
  url: process.env.MLOPS_SERVICE_URL ?? "http://localhost:5001",
  spoolDir: process.env.TRACKING_SPOOL ?? "data/tracking",
  onReject: (event, { error }) => console.error(`refused: ${error}`, event.event_id),
  onDrop: ({ events, reason }) => console.error(`lost: ${events} (${reason})`),
  onError: (error) => console.warn(error.message),
});

for (const tokens_used of [512, -1]) client.track({ business_id: "acme", response_time_ms: 840, tokens_used });

await client.close();
console.log(client.stats());
