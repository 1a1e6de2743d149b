// Tracks one event, and prints what became of it: when it was sent, or when an attempt failed.
const { createClient } = require("../../dist/cjs/node.js");

const errors = [];
const client = createClient({ url: process.argv[2], onError: (error) => (errors.push(error.message), report()) });
client.track({ business_id: "acme", response_time_ms: 1, tokens_used: 1 });
client.flush().then(report);

function report() {
  console.log(JSON.stringify({ ...client.stats(), errors }));
  process.exit(0);
}
