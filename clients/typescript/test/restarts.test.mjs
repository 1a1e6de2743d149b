// Events through restarts of the service, most of them by SIGKILL: 100,000 through 20 with CLIENTS_TEST_FULL, else fewer.
import assert from "node:assert/strict";
import test from "node:test";
import { balanced, flushed, PATIENT, told } from "./fake.mjs";
import { KEY, report, Service, sleep } from "./service.mjs";

const [EVENTS, RESTARTS] = process.env.CLIENTS_TEST_FULL ? [100_000, 20] : [25_000, 5];

test(`${EVENTS} events through ${RESTARTS} restarts: none lost, none doubled`, { timeout: 300_000 }, async (t) => {
  const service = await Service.start(t);
  const { client, rejects, drops } = told(t, { url: service.url, apiKey: KEY }, PATIENT);
  let tracked = 0;
  let restarts = 0;
  const ids = new Set();

  // Events come steadily over all the restarts; the buffer is never more than its default.
  async function callers() {
    while (tracked < EVENTS) {
      const due = restarts < RESTARTS ? ((restarts + 1) * EVENTS) / (RESTARTS + 1) : EVENTS;
      for (let n = 0; n < 500 && tracked < due && client.stats().waiting < 9000; n++) {
        ids.add(client.track(report()));
        tracked++;
      }
      await sleep(2);
    }
  }

  async function restarter() {
    for (; restarts < RESTARTS; restarts++) {
      await sleep(150 + 200 * Math.random());
      await service.restart(restarts % 4 === 3 ? "SIGTERM" : "SIGKILL");
    }
  }

  await Promise.all([callers(), restarter()]);
  await flushed(client);
  const stats = client.stats();
  t.diagnostic(JSON.stringify(stats));
  assert.equal(ids.size, EVENTS);
  assert.equal(await service.counted(), EVENTS);
  assert.equal((await service.analytics()).metrics.total_conversations, EVENTS);
  assert.deepEqual([stats.sent + stats.duplicates, rejects.length, drops.length, restarts], [EVENTS, 0, 0, RESTARTS]);
  assert.ok(stats.failures > 0 && balanced(stats));
});
