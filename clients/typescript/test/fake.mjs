// Services that misbehave, and clients with short waits.
import http from "node:http";
import { gunzipSync } from "node:zlib";
import { makeClient } from "../dist/esm/client.js";
import { platform } from "../dist/esm/node-platform.js";
import { TIMINGS } from "../dist/esm/pace.js";
import { until } from "./service.mjs";

/** Short enough for tests, with the proportions of the real ones. */
export const QUICK = { ...TIMINGS, linger: 20, timeout: 400, wait: 4000, firstRetry: 10, lastRetry: 100, setupRetry: 50 };

/** For the real service, which may be slow on a busy machine. */
export const PATIENT = { ...QUICK, timeout: 10_000, wait: 20_000 };

/** A service whose `answer(events, request)` returns `[status, body, headers]`, or nothing to take the events. */
export async function fake(t, answer = () => undefined) {
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const raw = Buffer.concat(chunks);
    const gzip = request.headers["content-encoding"] === "gzip";
    const { events } = JSON.parse(gzip ? gunzipSync(raw) : raw);
    const attempt = { events, gzip, bytes: raw.length, headers: request.headers, path: request.url, at: Date.now() };
    service.attempts.push(attempt);
    const given = await answer(events, attempt, response);
    if (given === "hang") return;
    const [status, body, headers] = given ?? [200, taken(events.length)];
    if (status === 200 && !given) service.events.push(...events);
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  const service = { attempts: [], events: [], server };
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  service.url = `http://127.0.0.1:${server.address().port}`;
  t.after(() => (server.closeAllConnections(), server.close()));
  return service;
}

export const taken = (accepted, more = {}) => ({ status: "success", message: "", accepted, duplicates: 0, rejected: [], ...more });

/** A client that remembers what it was told. */
export function told(t, options, timings = QUICK) {
  const heard = { rejects: [], drops: [], errors: [] };
  const client = makeClient(platform, {
    onReject: (event, refusal) => heard.rejects.push({ event, ...refusal }),
    onDrop: (drop) => heard.drops.push(drop),
    onError: (error) => heard.errors.push(error),
    ...options,
  }, timings);
  t.after(() => client.close());
  return { client, ...heard };
}

/** Flushes until nothing waits. Bounded, because a client goes on for as long as it is asked to. */
export async function flushed(client) {
  await until(() => client.flush().then(() => client.stats().waiting === 0), "nothing waits", 60_000);
}

/** Checks that each event is in one place. */
export function balanced(stats) {
  return stats.tracked + stats.recovered === stats.sent + stats.duplicates + stats.refused + stats.dropped + stats.waiting;
}
