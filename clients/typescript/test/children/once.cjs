// Tracks one event and prints what became of it.
const { createClient } = require("../../dist/cjs/node.js");

const errors = [];
const client = createClient({ url: process.argv[2], onError: (error) => errors.push(error.message) });
client.track({ business_id: "acme", response_time_ms: 1, tokens_used: 1 });
const timer = setTimeout(report, Number(process.argv[3] ?? 8000));
client.flush().then(report);

function report() {
  clearTimeout(timer);
  console.log(JSON.stringify({ ...client.stats(), errors }));
  process.exit(0);
}
