// The drop-in for the receptionist app.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compile, STRICT } from "./compile.mjs";
import { fake } from "./fake.mjs";
import { KEY, Service } from "./service.mjs";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const CHILD = fileURLToPath(new URL("children/receptionist.mjs", import.meta.url));
const output = ["--rootDir", ".", "--outDir", "test/compiled", "--module", "nodenext", "--ignoreConfig"];
compile(PACKAGE, "receptionist/mlops-tracking.ts", "test/app.d.ts", ...output, ...STRICT);
const app = await import("./compiled/receptionist/mlops-tracking.js");

/** A report as the app makes it, with numbers from `calculateTokenUsage`. */
const metrics = (tokens, more = {}) => ({
  business_id: "acme", conversation_id: undefined, session_id: "s", response_time_ms: 900, success_rate: 1,
  tokens_used: tokens.totalTokens, prompt_tokens: tokens.promptTokens, completion_tokens: tokens.completionTokens,
  api_cost_usd: app.estimateApiCost(tokens.totalTokens), model_name: "gemini-1.5-flash", intent_detected: "pricing", appointment_requested: false,
  human_handoff_requested: false, user_message_length: 3, ai_response_length: 3, response_type: "general", user_satisfaction: 0.9, ...more,
});

/** Sends reports to a service and returns what arrived. */
async function sent(t, ...reports) {
  const service = await fake(t);
  process.env.MLOPS_SERVICE_URL = service.url;
  delete globalThis.mlopsTracking;
  for (const report of reports) await app.trackMetrics(report);
  await globalThis.mlopsTracking.close();
  return service.events;
}

test("tokens: the SDK's numbers when it gives them, else four characters a token", () => {
  const usage = (given) => app.calculateTokenUsage("12345", "123", "123456789", given);
  const estimated = { promptTokens: 3, completionTokens: 3, totalTokens: 6 };
  assert.deepEqual(usage(), estimated);
  assert.deepEqual(usage(null), estimated);
  assert.deepEqual(usage({ promptTokens: NaN, completionTokens: NaN, totalTokens: NaN }), estimated);
  assert.deepEqual(usage({ inputTokens: undefined, outputTokens: 5 }), estimated);
  assert.deepEqual(usage({ promptTokens: 100, completionTokens: 20, totalTokens: 120 }), { promptTokens: 100, completionTokens: 20, totalTokens: 120 });
  assert.deepEqual(usage({ inputTokens: 100, outputTokens: 20 }), { promptTokens: 100, completionTokens: 20, totalTokens: 120 });
  assert.deepEqual(usage({ inputTokens: 100, outputTokens: 20, totalTokens: 150 }), { promptTokens: 100, completionTokens: 20, totalTokens: 150 });
});

test("a report says whether its numbers are estimated, and leaves the cost to the service", async (t) => {
  const estimate = app.calculateTokenUsage("a prompt", "a message", "an answer");
  const real = app.calculateTokenUsage("a prompt", "a message", "an answer", { inputTokens: 71, outputTokens: 12 });
  const events = await sent(t, metrics(estimate), metrics(real), metrics(estimate, { tokens_estimated: false }),
    metrics(estimate, { prompt_tokens: undefined, completion_tokens: undefined }));
  assert.deepEqual(events.map((event) => event.tokens_estimated), [true, false, false, true]);
  for (const event of events) {
    assert.ok(!("api_cost_usd" in event));
    assert.deepEqual([event.user_satisfaction, event.session_id], [0.9, "s"]);
  }
});

test("the latest numbers decide what is an estimate", async (t) => {
  const estimate = app.calculateTokenUsage("1234".repeat(50), "", "1234".repeat(10));
  app.calculateTokenUsage("", "", "", { promptTokens: 50, completionTokens: 10 });
  const events = await sent(t, metrics(estimate));
  assert.equal(events[0].tokens_estimated, false);
});

test("cost and success rate", () => {
  assert.equal(app.estimateApiCost(1_000_000), 0.1875);
  assert.equal(app.estimateApiCost(100), 0.000019);
  assert.deepEqual([app.calculateSuccessRate(true), app.calculateSuccessRate(false)], [1, 0]);
  assert.equal(app.calculateSuccessRate(false, 1, 3), 0.6667);
  assert.equal(app.calculateSuccessRate(true, 0.5, 4), 0.625);
});

test("handoff", () => {
  const handoff = (type, message, answer = "An answer that is long enough.") => app.shouldTriggerHandoff(type, message, answer);
  assert.equal(handoff("general", "Hello"), false);
  assert.equal(handoff("human_handoff", "Hello"), true);
  assert.equal(handoff("general", "Hello", "Hm."), true);
  assert.equal(handoff("general", "This is USELESS"), true);
});

test("intent", () => {
  const intents = {
    "I want to BOOK": "appointment", "What does it cost?": "pricing", "What do you do?": "services", "Your phone number?": "contact", Hello: "general",
  };
  for (const [message, intent] of Object.entries(intents)) assert.equal(app.detectIntent(message, "general"), intent, message);
  assert.equal(app.detectIntent("Hello", "appointment_booking"), "appointment");
});

test("trackMetrics never rejects", async (t) => {
  t.mock.method(console, "error", () => {});
  process.env.MLOPS_SERVICE_URL = "nonsense";
  delete globalThis.mlopsTracking;
  await app.trackMetrics(metrics({ totalTokens: 1 }));
  await app.trackMetrics(undefined);
});

test("it stores with one request, and neither refreshes nor asks twice", async (t) => {
  const service = await Service.start(t);
  process.env.MLOPS_SERVICE_URL = service.url;
  process.env.MLOPS_API_KEY = KEY;
  delete globalThis.mlopsTracking;
  await app.trackMetrics(metrics(app.calculateTokenUsage("a", "b", "c")));
  await globalThis.mlopsTracking.close();
  delete process.env.MLOPS_API_KEY;
  const requests = await (await fetch(`${service.url}/metrics`)).text();
  const posts = [...requests.matchAll(/^http_requests_total\{method="POST",route="([^"]*)",status="(\d+)"\} (\d+)/gm)].map(([, ...of]) => of.join(" "));
  assert.deepEqual(posts.filter((of) => !of.endsWith(" 0")), ["/track/batch 200 1"]);
  const { quality, by_model } = await service.analytics("acme", "?include=quality,by_model");
  assert.equal(quality.estimated_tokens.part, 1);
  assert.ok(by_model[0].computed_cost_usd > 0);
});

// A service that takes so long that waiting for it shows.
const SLOW = 700;

async function answered(url, environment, ...parameters) {
  const env = { PATH: process.env.PATH, MLOPS_SERVICE_URL: url, ...environment };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [CHILD, ...parameters], { env });
  return { ...JSON.parse(stdout), stderr };
}

test("on a server it does not wait; on a host that may freeze it waits until the event was sent", async (t) => {
  const service = await fake(t, async () => void (await new Promise((done) => setTimeout(done, SLOW))));
  assert.ok((await answered(service.url, {})).took < SLOW);
  assert.equal(service.events.length, 0);
  const { took } = await answered(service.url, { AWS_LAMBDA_FUNCTION_NAME: "chat" });
  assert.ok(took >= SLOW - 10 && took < 2500, `${took} ms`);
  assert.equal(service.events.length, 1);
});

test("hosts that may freeze are known by what they set", async (t) => {
  const known = async (name) => (await import(`../dist/esm/host.js?${name}`)).mayFreeze();
  assert.equal(await known("none"), false);
  const names = ["AWS_LAMBDA_FUNCTION_NAME", "VERCEL", "NETLIFY", "K_SERVICE", "FUNCTION_TARGET", "FUNCTIONS_WORKER_RUNTIME", "DENO_DEPLOYMENT_ID"];
  for (const name of names) {
    process.env[name] = "1";
    assert.equal(await known(name), true, name);
    delete process.env[name];
  }
  globalThis.EdgeRuntime = "vercel";
  t.after(() => delete globalThis.EdgeRuntime);
  assert.equal(await known("EdgeRuntime"), true);
});

test("on a host that may freeze it waits two seconds at most", async (t) => {
  const service = await fake(t, () => "hang");
  const { took } = await answered(service.url, { VERCEL: "1" });
  assert.ok(took >= 1990 && took < 3000, `${took} ms`);
});

test("where there is waitUntil, the event is handed to it and the answer does not wait", async (t) => {
  const service = await fake(t, async () => void (await new Promise((done) => setTimeout(done, SLOW))));
  for (const symbol of ["@next/request-context", "@vercel/request-context"]) {
    service.events.length = 0;
    const { took, handedOver } = await answered(service.url, { VERCEL: "1" }, symbol);
    assert.ok(took < SLOW, `${took} ms`);
    assert.deepEqual([handedOver, service.events.length], [1, 1]);
  }
});

test("without MLOPS_SERVICE_URL it reports to http://localhost:5001", async () => {
  const { stderr } = await answered("", { VERCEL: "1", MLOPS_SERVICE_URL: "" });
  assert.match(stderr, /localhost:5001|^$/);
});

test("it exports what the app's file does", () => {
  const names = ["calculateSuccessRate", "calculateTokenUsage", "detectIntent", "estimateApiCost", "shouldTriggerHandoff", "trackMetrics"];
  assert.deepEqual(Object.keys(app).sort(), names);
});
