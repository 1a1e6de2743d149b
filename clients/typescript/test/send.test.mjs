// How batches are sent, and what the client makes of each response.
import assert from "node:assert/strict";
import test from "node:test";
import { makeClient } from "../dist/esm/client.js";
import { platform } from "../dist/esm/node-platform.js";
import { backoff, linger, obey, TIMINGS } from "../dist/esm/pace.js";
import { retryAfter } from "../dist/esm/verdict.js";
import { balanced, fake, QUICK, taken, told } from "./fake.mjs";
import { report, sleep, until } from "./service.mjs";

const KEY = "the-key-0123456789";
const numbers = (events) => events.map((event) => event.response_time_ms);
const range = (n) => Array.from({ length: n }, (_, at) => at);
const error = (status, name, message = "m", headers = {}) => [status, { error: name, message }, headers];

function trackNumbers(client, n) {
  return range(n).map((at) => client.track(report({ response_time_ms: at })));
}

test("events go in order, in batches that the service takes, compressed unless small", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: `${service.url}/`, apiKey: KEY });
  client.track(report({ response_time_ms: -1 }));
  await client.flush();
  trackNumbers(client, 2500);
  await client.flush();
  assert.deepEqual(numbers(service.events), [-1, ...range(2500)]);
  assert.deepEqual(service.attempts.map(({ events, gzip }) => [events.length, gzip]), [[1, false], [1000, true], [1000, true], [500, true]]);
  for (const { headers, path } of service.attempts) assert.deepEqual([headers["x-api-key"], path], [KEY, "/track/batch"]);
  for (let n = 0; n < 30; n++) client.track(report({ session_id: "x".repeat(100_000) }));
  await client.flush();
  assert.equal(service.events.length, 2531);
  assert.ok(service.attempts.slice(4).every(({ events }) => JSON.stringify({ events }).length <= 2 ** 20));
});

test("events that come together are sent together, without a flush", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: service.url }, { ...QUICK, linger: 200 });
  for (let n = 0; n < 5; n++) {
    client.track(report());
    await undefined;
  }
  await until(() => service.events.length === 5, "all events");
  assert.equal(service.attempts.length, 1);
});

test("a full batch does not wait", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: service.url }, { ...QUICK, linger: 3_600_000, wait: 100 });
  trackNumbers(client, 1001);
  await until(() => service.events.length === 1000, "the full batch");
  await sleep(50);
  assert.equal(client.stats().waiting, 1);
});

test("an event keeps its id through every kind of failure, and the order stays", async (t) => {
  const failures = [
    () => [500, "<html>Internal Server Error</html>"], () => [200, "<html>Sign in to the network</html>"], () => [200, ""], () => [200, "{}"],
    () => [200, taken(3)], () => [200, { status: "success", accepted: "two", rejected: null }], () => error(429, "429 Too Many Requests"),
    () => error(503, "Failed to store metrics in database"), () => error(408, "Request Timeout"), () => [400, "bad gateway"], () => error(400, "Bad Request"),
    () => [302, "", { Location: "http://127.0.0.1:1/" }], () => error(401, "Unauthorized"), () => error(403, "Forbidden", "Invalid API key"),
    () => error(404, "Not Found"), () => error(405, "Method Not Allowed"), () => error(415, "Unsupported Media Type"), () => "hang",
    (_events, _attempt, response) => (response.socket.destroy(), "hang"),
    (_events, _attempt, response) => (response.write("{"), "hang"),
    (_events, _attempt, response) => (response.end("x".repeat(3 * 2 ** 20)), "hang"),
    (_events, _attempt, response) => (response.socket.end("garbage\r\n\r\n"), "hang"),
  ];
  const service = await fake(t, (...given) => failures[service.attempts.length - 1]?.(...given));
  const { client, errors, rejects } = told(t, { url: service.url, apiKey: KEY }, { ...QUICK, wait: 20_000 });
  const ids = trackNumbers(client, 20);
  await client.flush();
  assert.deepEqual(service.events.map((event) => event.event_id), ids);
  assert.equal(service.attempts.length, failures.length + 1);
  for (const { events } of service.attempts) assert.deepEqual(events.map((event) => event.event_id), ids);
  assert.equal(errors.length, failures.length);
  assert.equal(rejects.length, 0);
  assert.equal(client.stats().sent, 20);
  assert.ok(errors.every((one) => one instanceof Error && one.retryIn > 0 && !`${one.stack}${JSON.stringify(one)}`.includes(KEY)));
  assert.ok(balanced(client.stats()));
});

test("Retry-After is honoured, by flush too", async (t) => {
  for (const status of [429, 503]) {
    const service = await fake(t, () => service.attempts.length === 1 ? error(status, "x", "m", { "Retry-After": "1" }) : undefined);
    const { client } = told(t, { url: service.url });
    client.track(report());
    await client.flush();
    assert.equal(service.events.length, 1);
    assert.ok(service.attempts[1].at - service.attempts[0].at >= 1000);
  }
});

test("flush and close do not wait for what cannot come in time", async (t) => {
  const service = await fake(t, () => error(429, "429 Too Many Requests", "100 per 1 hour", { "Retry-After": "3600" }));
  const { client } = told(t, { url: service.url });
  client.track(report());
  const begin = Date.now();
  await client.flush();
  await client.flush();
  assert.ok(Date.now() - begin < 1000);
  assert.equal(service.attempts.length, 1);
  assert.equal(client.stats().waiting, 1);
});

test("waits grow, half of each is random, and are never shorter than asked for", () => {
  const waits = (random) => range(10).map((n) => backoff(TIMINGS, n + 1, () => random));
  assert.deepEqual(waits(1).slice(0, 8), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  assert.deepEqual(waits(0).slice(0, 3), [250, 500, 1000]);
  assert.deepEqual([obey(1000, () => 0), obey(1000, () => 1), obey(3_600_000, () => 1)], [1000, 1100, 3_605_000]);
  const now = Date.parse("2026-11-27T10:00:00Z");
  const after = (value) => retryAfter(new Headers({ "Retry-After": value }), now);
  assert.deepEqual(["7", "soon", "99999999", "-1"].map(after), [7000, 0, 86_400_000, 0]);
  assert.deepEqual(["Fri, 27 Nov 2026 10:01:00 GMT", "Fri, 27 Nov 2026 09:00:00 GMT"].map(after), [60_000, 0]);
});

test("a quota that runs out is spread over its window", () => {
  const now = 1_000_000;
  const quota = (limit, remaining, seconds) => linger(TIMINGS, new Headers({
    "X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": now / 1000 + seconds,
  }), now);
  assert.equal(linger(TIMINGS, new Headers(), now), TIMINGS.linger);
  assert.equal(quota(100, 60, 3600), TIMINGS.linger);
  assert.equal(quota(100, 40, 800), 20_000);
  assert.equal(quota(100, 10, 3600), 60_000);
  assert.equal(quota(100, 0, 3600), TIMINGS.linger);
});

test("each refused event goes to onReject once, with the service's reason; the others are sent", async (t) => {
  const service = await fake(t, (events) => {
    const rejected = numbers(events).flatMap((number, index) => number % 3 === 0 ? [{ index, error: `bad ${number}` }] : []);
    return [200, taken(events.length - rejected.length, { rejected })];
  });
  const { client, rejects } = told(t, { url: service.url });
  const ids = trackNumbers(client, 10);
  await client.flush();
  assert.deepEqual(rejects.map(({ event, error }) => [event.event_id, error]), [0, 3, 6, 9].map((n) => [ids[n], `bad ${n}`]));
  assert.deepEqual([client.stats().sent, client.stats().refused], [6, 4]);
});

/** The response to a batch of which these events could not be stored. */
const inPart = (events, ...indexes) =>
  [200, taken(events.length - indexes.length, { rejected: indexes.map((index) => ({ index, error: "Failed to store metrics in database" })) })];

test("events that the service could not store are sent again, before later ones and with the same ids", async (t) => {
  const service = await fake(t, (events) => {
    if (service.attempts.length > 1) return undefined;
    const rejected = [0, 2, 3].map((index) => ({ index, error: index === 2 ? "Invalid value for field: x" : "Failed to store metrics in database" }));
    return [200, taken(events.length - 4, { duplicates: 1, rejected })];
  });
  const { client, rejects, errors } = told(t, { url: service.url });
  const ids = trackNumbers(client, 1005);
  await client.flush();
  assert.deepEqual(service.attempts[1].events.map((event) => event.event_id), [ids[0], ids[3], ...ids.slice(1000)]);
  assert.deepEqual(rejects.map(({ event }) => event.event_id), [ids[2]]);
  assert.deepEqual(errors.map(({ status }) => status), [200]);
  assert.match(errors[0].message, /could not store 2 of 1000 events/);
  const { sent, duplicates, refused, waiting, waitingBytes, failures } = client.stats();
  assert.deepEqual([sent, duplicates, refused, waiting, waitingBytes, failures], [1003, 1, 1, 0, 0, 1]);
});

test("events that can never be stored keep no others from being stored, and are still there", async (t) => {
  const service = await fake(t, (events) => {
    const never = numbers(events).flatMap((number, index) => number === 5 ? [index] : []);
    if (never.length === 0) return undefined;
    return never.length < events.length ? inPart(events, ...never) : error(503, "Failed to store metrics in database");
  });
  // If the wait grew with each round, it would be a minute in the end.
  const { client, rejects, drops } = told(t, { url: service.url }, { ...QUICK, wait: 200, lastRetry: 60_000 });
  for (let round = 1; round <= 14; round++) {
    trackNumbers(client, 8);
    await until(() => client.stats().waiting === round, "the others are sent", 5000);
  }
  await client.flush();
  assert.deepEqual([client.stats().sent, client.stats().waiting, rejects, drops], [98, 14, [], []]);
  assert.ok(balanced(client.stats()));
});

test("flush waits for its own events, not for as many others", async (t) => {
  const service = await fake(t, (events) => {
    if (service.attempts.length > 2) return undefined;
    trackNumbers(client, 50);
    return inPart(events, 0);
  });
  const { client } = told(t, { url: service.url });
  const [first] = trackNumbers(client, 3);
  await client.flush();
  assert.deepEqual(service.attempts.map(({ events }) => events[0].event_id), [first, first, first]);
});

test("a batch of which every event is refused is not sent again", async (t) => {
  const answers = [
    error(400, "Missing required field: business_id", "Every event in the batch was rejected; this is the first error"),
    error(403, "Forbidden", "API key is not valid for this business"),
  ];
  const service = await fake(t, () => answers[service.attempts.length - 1]);
  const { client, rejects } = told(t, { url: service.url });
  for (let n = 0; n < 2; n++) {
    trackNumbers(client, 3);
    await client.flush();
  }
  assert.deepEqual(rejects.map(({ status }) => status), [400, 400, 400, 403, 403, 403]);
  assert.equal(rejects[0].error, "Missing required field: business_id");
  assert.equal(service.attempts.length, 2);
});

test("one event that spoils a batch is found, and refused alone", async (t) => {
  const service = await fake(t, (events) => numbers(events).includes(37) ? error(400, "Invalid JSON", "recursion limit exceeded") : undefined);
  const { client, rejects } = told(t, { url: service.url });
  trackNumbers(client, 100);
  await client.flush();
  assert.deepEqual(rejects.map(({ event, error }) => [event.response_time_ms, error]), [[37, "Invalid JSON"]]);
  assert.deepEqual(numbers(service.events), range(100).filter((n) => n !== 37));
});

test("a proxy that takes less gets smaller batches, and later ones too", async (t) => {
  const service = await fake(t, (events) => events.length > 30 ? [413, "<html>Request Entity Too Large</html>"] : undefined);
  const { client } = told(t, { url: service.url });
  trackNumbers(client, 300);
  await client.flush();
  assert.deepEqual(numbers(service.events), range(300));
  assert.equal(service.attempts.filter(({ events }) => events.length > 30).length, 4);
});

test("where gzip is not taken, the events are sent as they are", async (t) => {
  const service = await fake(t, (_events, { gzip }) => gzip ? error(415, "Unsupported Media Type") : undefined);
  const { client } = told(t, { url: service.url });
  for (let n = 0; n < 2; n++) {
    trackNumbers(client, 50);
    await client.flush();
  }
  assert.deepEqual(service.attempts.map(({ gzip }) => gzip), [true, false, false]);
});

test("a key is not taken to where a redirect points", async (t) => {
  const thief = await fake(t);
  const service = await fake(t, () => [307, "", { Location: `${thief.url}/track/batch` }]);
  const { client, errors } = told(t, { url: service.url, apiKey: KEY }, { ...QUICK, wait: 300 });
  client.track(report());
  await client.flush();
  assert.equal(thief.attempts.length, 0);
  assert.match(errors[0].message, /307/);
});

test("202, the service's own spool, is a success", async (t) => {
  const service = await fake(t, (events) => [202, { ...taken(events.length), status: "accepted", database_stored: false }]);
  const { client, errors } = told(t, { url: service.url });
  trackNumbers(client, 3);
  await client.flush();
  assert.deepEqual([client.stats().sent, errors.length], [3, 0]);
});

test("an attempt that never ends does not hold up the others for ever", async (t) => {
  // As on an edge runtime that drops the request of an earlier invocation without a word, timers included.
  const service = await fake(t);
  const real = globalThis.fetch;
  const [setTimer, now] = [globalThis.setTimeout, Date.now];
  t.after(() => Object.assign(globalThis, { fetch: real, setTimeout: setTimer }) && (Date.now = now));
  const client = makeClient(platform, { url: service.url }, QUICK);
  globalThis.fetch = () => (globalThis.setTimeout = setTimer, new Promise(() => {}));
  client.track(report({ response_time_ms: 0 }));
  globalThis.setTimeout = (callback, delay) => delay === QUICK.timeout ? 0 : setTimer(callback, delay);
  const stuck = client.flush();
  await sleep(50);
  globalThis.fetch = real;
  globalThis.setTimeout = setTimer;
  Date.now = () => now() + 60_000;
  client.track(report({ response_time_ms: 1 }));
  await client.flush();
  Date.now = now;
  assert.deepEqual(numbers(service.events), [0, 1]);
  await stuck;
  await client.close();
});
