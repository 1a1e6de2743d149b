// Tracks events and runs on, with a handler of SIGTERM if it is told to have one.
import process from "node:process";
import { createClient } from "../../dist/esm/node.js";

const client = createClient({ url: process.env.MLOPS_SERVICE_URL });
for (let n = 0; n < 1500; n++) client.track({ business_id: "acme", response_time_ms: 1, tokens_used: 1 });
setInterval(() => {}, 1000);
if (process.argv[2] === "handler") process.on("SIGTERM", () => setTimeout(() => process.exit(7), 2000));
console.log("ready");
