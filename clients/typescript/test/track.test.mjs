// track() itself: what it returns, what it keeps, what it never does.
import assert from "node:assert/strict";
import test from "node:test";
import { randomFillSync } from "node:crypto";
import { uuidMaker } from "../dist/esm/uuid.js";
import { createClient } from "../dist/esm/node.js";
import { balanced, fake, QUICK, told } from "./fake.mjs";
import { report, sleep, until } from "./service.mjs";

// For clients whose events cannot be sent.
const BRIEF = { ...QUICK, wait: 200 };
const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("an event gets a UUIDv7, which is sent with it", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: service.url });
  const before = Date.now();
  const ids = Array.from({ length: 50 }, (_, n) => client.track(report({ response_time_ms: n })));
  await client.flush();
  for (const id of ids) assert.match(id, UUID7);
  assert.deepEqual(service.events.map((event) => event.event_id), ids);
  const time = Number.parseInt(ids[0].replaceAll("-", "").slice(0, 12), 16);
  assert.ok(time >= before && time <= Date.now() + 1);
});

test("UUIDs sort in the order in which they were made, also when the clock stands or goes back", () => {
  const next = uuidMaker(randomFillSync);
  const ids = Array.from({ length: 20_000 }, (_, n) => next(n < 15_000 ? 1_700_000_000_000 : 1_600_000_000_000));
  assert.deepEqual(ids, [...ids].sort());
  assert.equal(new Set(ids).size, ids.length);
});

test("an id of the caller's is kept; one that is no text is replaced", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: service.url });
  const own = "0190a5c0-3b1e-7f00-8000-000000000001";
  assert.equal(client.track(report({ event_id: own })), own);
  const id = client.track(report({ event_id: null }));
  await client.flush();
  assert.deepEqual(service.events.map((event) => event.event_id), [own, id]);
});

test("a report is kept as it was when it was tracked", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: service.url });
  const changing = report({ nested: { a: 1 } });
  client.track(changing);
  changing.tokens_used = 7;
  changing.nested.a = 2;
  await client.flush();
  assert.equal(service.events[0].tokens_used, 42);
  assert.deepEqual(service.events[0].nested, { a: 1 });
});

test("track never throws, and what cannot be sent goes to onReject once", async (t) => {
  const service = await fake(t);
  const { client, rejects, errors } = told(t, { url: service.url });
  const circular = report();
  circular.self = circular;
  const bad = [undefined, null, 5, "text", [], () => 1, circular, report({ big: 1n }), report({ text: "x".repeat(2 ** 21) }),
    { toJSON: () => "text" }, report({ toJSON: () => { throw new Error("no"); } }),
    { get event_id() { throw new Error("no"); } }, { get tokens_used() { throw new Error("no"); } }];
  for (const one of bad) client.track(one);
  client.track(report());
  await client.flush();
  await until(() => rejects.length >= bad.length, "onReject");
  assert.equal(rejects.length, bad.length);
  assert.equal(errors.length, 0);
  assert.equal(service.events.length, 1);
  assert.equal(client.stats().refused, bad.length);
  assert.ok(balanced(client.stats()));
});

test("text in any language arrives as it is, and its bytes are counted", async (t) => {
  const service = await fake(t);
  const { client } = told(t, { url: service.url });
  const text = "Zahnärztin 歯科 🦷 \ud800 \u2028";
  client.track(report({ session_id: text }));
  const { waitingBytes } = client.stats();
  await client.flush();
  assert.equal(service.events[0].session_id, text);
  assert.equal(waitingBytes, Buffer.byteLength(JSON.stringify({ event_id: service.events[0].event_id, ...report({ session_id: text }) })));
});

test("the bounds hold: the oldest are kept, and the rest is counted and told", async (t) => {
  const service = await fake(t, () => [503, { error: "Service Unavailable", message: "" }, { "Retry-After": "60" }]);
  for (const options of [{ maxEvents: 100 }, { maxBytes: 13_000 }]) {
    const { client, drops } = told(t, { url: service.url, ...options }, BRIEF);
    for (let n = 0; n < 1000; n++) client.track(report({ response_time_ms: n }));
    const stats = client.stats();
    assert.ok(stats.waiting <= (options.maxEvents ?? Infinity) && stats.waiting > 90);
    assert.ok(stats.waitingBytes <= (options.maxBytes ?? Infinity));
    assert.equal(stats.dropped, 1000 - stats.waiting);
    assert.ok(balanced(stats));
    await until(() => drops.length > 0, "onDrop");
    assert.deepEqual(drops.map(({ reason, events }) => [reason, events]), [["full", stats.dropped]]);
    await until(() => service.attempts.length > 0, "an attempt");
    assert.deepEqual(service.attempts[0].events.map((event) => event.response_time_ms), Array.from({ length: stats.waiting }, (_, n) => n));
    service.attempts.length = 0;
  }
});

test("the bounds are 10,000 events and 8 MiB by default", async (t) => {
  const service = await fake(t, () => "hang");
  const { client } = told(t, { url: service.url }, BRIEF);
  for (let n = 0; n < 11_000; n++) client.track(report());
  assert.equal(client.stats().waiting, 10_000);
  const { client: other } = told(t, { url: service.url }, BRIEF);
  for (let n = 0; n < 100; n++) other.track(report({ session_id: "x".repeat(100_000) }));
  assert.ok(other.stats().waitingBytes <= 8 * 2 ** 20 && other.stats().waitingBytes > 8 * 2 ** 20 - 101_000);
});

test("callbacks that throw or reject change nothing", async (t) => {
  const service = await fake(t, (events) => service.attempts.length < 3 ? [503, {}] : [200, taken(events)]);
  const taken = (events) => ({ status: "success", accepted: events.length - 1, duplicates: 0, rejected: [{ index: 0, error: "x" }] });
  const fail = () => { throw new Error("callback"); };
  const { client } = told(t, { url: service.url, maxEvents: 2, onReject: async () => fail(), onDrop: fail, onError: fail });
  for (let n = 0; n < 3; n++) client.track(report());
  await client.flush();
  await sleep(20);
  assert.deepEqual([client.stats().sent, client.stats().refused, client.stats().dropped], [1, 1, 1]);
});

test("after close, events are dropped and told", async (t) => {
  const service = await fake(t);
  const { client, drops } = told(t, { url: service.url });
  client.track(report());
  await Promise.all([client.close(), client.close()]);
  assert.equal(service.events.length, 1);
  assert.match(client.track(report()), UUID7);
  await until(() => drops.length > 0, "onDrop");
  assert.deepEqual(drops.map(({ reason, events }) => [reason, events]), [["closed", 1]]);
});

test("a client that cannot send tells at close what is lost", async (t) => {
  const { client, drops } = told(t, { url: "http://127.0.0.1:9" }, BRIEF);
  for (let n = 0; n < 5; n++) client.track(report());
  const begin = Date.now();
  await client.close();
  assert.ok(Date.now() - begin < 1000);
  assert.deepEqual(drops.map(({ reason, events }) => [reason, events]), [["exit", 5]]);
  assert.ok(balanced(client.stats()));
});

test("invalid options are refused at once, and the key is never shown", () => {
  const url = "http://localhost:5001";
  for (const options of [{}, { url: "localhost:5001" }, { url: "nowhere" }, { url: "http://a:b@host" }, { url: "http://host/?q" },
    { url, maxEvents: 0 }, { url, maxBytes: 1.5 }, { url, maxEvents: NaN }]) {
    assert.throws(() => createClient(options), TypeError, JSON.stringify(options));
  }
  assert.throws(() => createClient({ url, apiKey: "sec ret\nkey" }), (error) => !error.message.includes("sec"));
});

test("without callbacks it warns, at most once a minute", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const { client } = told(t, { url: "http://127.0.0.1:9", maxEvents: 1, onReject: undefined, onDrop: undefined, onError: undefined }, BRIEF);
  for (let n = 0; n < 3; n++) client.track(report());
  client.track(null);
  await until(() => warn.mock.callCount() >= 3, "three warnings");
  await client.flush();
  assert.deepEqual(warn.mock.calls.map((call) => /refused|dropped|Cannot reach/.exec(call.arguments[0])?.[0]).sort(), ["Cannot reach", "dropped", "refused"]);
});
