// Against the real service: what it counts is what was tracked.
import assert from "node:assert/strict";
import test from "node:test";
import { balanced, PATIENT, told } from "./fake.mjs";
import { KEY, report, Service, until } from "./service.mjs";

test("what is tracked is counted, and what the service refuses comes back with its reason", async (t) => {
  const service = await Service.start(t);
  const { client, rejects } = told(t, { url: service.url, apiKey: KEY }, PATIENT);
  for (let n = 0; n < 1500; n++) client.track(report({ intent_detected: n % 2 ? "pricing" : "appointment" }));
  const bad = [client.track(report({ tokens_used: -1 })), client.track(report({ business_id: null })), client.track(report({ event_id: "no-uuid" }))];
  client.track(report({ user_satisfaction: 4, unknown_field: [1] }));
  await client.flush();
  assert.equal(await service.counted(), 1501);
  assert.deepEqual(rejects.map(({ event, error }) => [event.event_id, error]), [
    [bad[0], "Invalid value for field: tokens_used"],
    [bad[1], "Missing required field: business_id"],
    [bad[2], "Invalid value for field: event_id"],
  ]);
  const { sent, refused, waiting } = client.stats();
  assert.deepEqual([sent, refused, waiting], [1501, 3, 0]);
  client.track(report({ tokens_used: "many" }));
  client.track(report({ tokens_used: 1.5 }));
  await client.flush();
  assert.deepEqual(rejects.slice(3).map(({ status }) => status), [400, 400]);
  assert.equal(rejects[3].error, "Invalid value for field: tokens_used");
});

test("an event that is sent again is counted once", async (t) => {
  const service = await Service.start(t);
  const { client } = told(t, { url: service.url, apiKey: KEY }, PATIENT);
  // The response is lost on the way back.
  const real = globalThis.fetch;
  t.after(() => (globalThis.fetch = real));
  let lost = 0;
  globalThis.fetch = async (...given) => {
    const response = await real(...given);
    if (!String(given[0]).endsWith("/track/batch") || lost++ >= 2) return response;
    throw new TypeError("connection reset");
  };
  for (let n = 0; n < 10; n++) client.track(report());
  await client.flush();
  assert.equal(await service.counted(), 10);
  assert.deepEqual([client.stats().sent, client.stats().duplicates], [0, 10]);
});

test("a wrong key loses nothing: the events are sent once the key is right", async (t) => {
  const service = await Service.start(t);
  const { client, errors } = told(t, { url: service.url, apiKey: "rotated-key-of-the-callers" }, PATIENT);
  client.track(report());
  await until(() => errors.length > 0, "an error");
  assert.match(errors[0].message, /Invalid API key/);
  service.settings.MLOPS_API_KEY = `${KEY},rotated-key-of-the-callers`;
  await service.restart();
  await client.flush();
  assert.equal(await service.counted(), 1);
});

test("the key comes from MLOPS_API_KEY", async (t) => {
  const service = await Service.start(t);
  process.env.MLOPS_API_KEY = KEY;
  const { client } = told(t, { url: service.url }, PATIENT);
  delete process.env.MLOPS_API_KEY;
  client.track(report());
  await client.flush();
  assert.equal(await service.counted(), 1);
});

test("over quota, the events wait as long as the service says", async (t) => {
  const service = await Service.start(t, { RATE_LIMIT_TRACK: "2 per 3 seconds" });
  const { client, errors } = told(t, { url: service.url, apiKey: KEY }, PATIENT);
  for (let n = 0; n < 4500; n++) client.track(report());
  await client.flush();
  assert.equal(await service.counted(), 4500);
  assert.ok(errors.some(({ status }) => status === 429));
  assert.ok(errors.length <= 3, `${errors.length} attempts were refused`);
});

test("events that the service puts into its own spool are sent; those for which it is full wait", async (t) => {
  // A database that nobody serves, and a small spool.
  const service = await Service.start(t, { DATABASE_URL: "postgresql://nobody:none@127.0.0.1:1/none?sslmode=disable", SPOOL_MAX_MB: "2" });
  const { client, errors } = told(t, { url: service.url, apiKey: KEY }, { ...PATIENT, wait: 4000 });
  for (let n = 0; n < 500; n++) client.track(report());
  await client.flush();
  assert.deepEqual([client.stats().sent, errors], [500, []]);
  const large = report({ session_id: "x".repeat(250), conversation_id: "y".repeat(250) });
  for (let n = 0; n < 6000; n++) client.track(large);
  await client.flush();
  const stats = client.stats();
  assert.ok(stats.waiting > 0 && stats.dropped === 0 && balanced(stats), JSON.stringify(stats));
  assert.deepEqual([...new Set(errors.map(({ status }) => status))], [503]);
  const metrics = await (await fetch(`${service.url}/metrics`)).text();
  assert.equal(Number(/^spool_events (\d+)$/m.exec(metrics)[1]), stats.sent);
});

test("a service that stops answering is given up on, and gets the events when it goes on", async (t) => {
  const service = await Service.start(t);
  const { client, errors } = told(t, { url: service.url, apiKey: KEY }, { ...PATIENT, timeout: 1000 });
  service.process.kill("SIGSTOP");
  for (let n = 0; n < 100; n++) client.track(report());
  await until(() => errors.length >= 2, "two attempts");
  assert.match(errors[0].message, /no response within/);
  service.process.kill("SIGCONT");
  await client.flush();
  assert.equal(await service.counted(), 100);
});
