// Answers as the app's route does, with the environment it was started with. Prints how long trackMetrics took.
const app = await import("../compiled/receptionist/mlops-tracking.js");
const promises = [];
const symbol = process.argv[2];
if (symbol) globalThis[Symbol.for(symbol)] = { get: () => ({ waitUntil: (promise) => promises.push(promise) }) };
const begin = performance.now();
await app.trackMetrics({ business_id: "acme", response_time_ms: 1, tokens_used: 1 });
const took = performance.now() - begin;
await Promise.all(promises);
// Nothing runs on after this, as in a frozen process.
console.log(JSON.stringify({ took, handedOver: promises.length }));
process.exit(0);
