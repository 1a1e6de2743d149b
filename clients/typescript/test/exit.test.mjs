// How a process with a client ends: as it would without one, and not before its events were sent.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { fake } from "./fake.mjs";
import { until } from "./service.mjs";

const ESM = fileURLToPath(new URL("../dist/esm/node.js", import.meta.url));
const CJS = fileURLToPath(new URL("../dist/cjs/node.js", import.meta.url));

/** Runs a script that has a client of each half of the package, and returns how it ended. */
async function run(t, url, script, signal) {
  const source = `
    import { createRequire } from "node:module";
    import { createClient } from ${JSON.stringify(ESM)};
    const other = createRequire(${JSON.stringify(ESM)})(${JSON.stringify(CJS)});
    const event = { business_id: "acme", response_time_ms: 1, tokens_used: 1 };
    const told = { onError() {}, onDrop: ({ reason, events }) => console.log("dropped", events, reason) };
    const clients = [createClient, other.createClient].map((create) => create({ url: process.argv[1], ...told }));
    const track = (n = 1) => { for (; n > 0; n--) for (const client of clients) client.track(event); };
    ${script}
    console.log("ready");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source, url], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  child.stdout.on("data", (text) => (output += text));
  const closed = new Promise((done) => child.once("close", (code, by) => done({ code, by })));
  if (signal) {
    await until(() => output.includes("ready"), "the script is ready");
    child.kill(signal);
  }
  const begin = Date.now();
  return { ...(await closed), took: Date.now() - begin, output };
}

const STAY = "setInterval(() => {}, 1000);";

// Together, because some of them wait for the eight seconds in which a client may hold up the end.
describe("the end of a process", { concurrency: 4 }, () => {
  it("a process that has nothing left to do sends its events and ends", async (t) => {
    const service = await fake(t);
    const { code, output } = await run(t, service.url, "track(3);");
    assert.deepEqual([code, service.events.length, output], [0, 6, "ready\n"]);
  });

  it("its exit code stays", async (t) => {
    const service = await fake(t);
    const { code } = await run(t, service.url, "track(); process.exitCode = 3;");
    assert.deepEqual([code, service.events.length], [3, 2]);
  });

  it("without events it ends at once", async (t) => {
    const { code, took } = await run(t, "http://127.0.0.1:9", "");
    assert.equal(code, 0);
    assert.ok(took < 7000, `${took} ms`);
  });

  it("events that cannot be sent do not keep it for ever, and are told", async (t) => {
    const { code, took, output } = await run(t, "http://127.0.0.1:9", "track(2);");
    assert.equal(code, 0);
    assert.ok(took < 12_000, `${took} ms`);
    assert.equal(output, "ready\ndropped 2 exit\ndropped 2 exit\n");
  });

  it("a top-level await of flush ends", async (t) => {
    const service = await fake(t);
    const { code } = await run(t, service.url, "track(); await clients[0].flush(); await clients[1].close();");
    assert.deepEqual([code, service.events.length], [0, 2]);
  });

  it("SIGTERM without a handler: the events are sent, and the signal ends the process", async (t) => {
    const service = await fake(t);
    const { by, took } = await run(t, service.url, `${STAY} track(3);`, "SIGTERM");
    assert.deepEqual([by, service.events.length], ["SIGTERM", 6]);
    assert.ok(took < 7000, `${took} ms`);
  });

  it("SIGTERM with a handler that ends the process: it ends as the handler says", async (t) => {
    const service = await fake(t);
    for (const on of ["on", "once"]) {
      const script = `${STAY} track(3); process.${on}("SIGTERM", () => setTimeout(() => process.exit(7), 2000));`;
      const { code } = await run(t, service.url, script, "SIGTERM");
      assert.equal(code, 7);
    }
    assert.equal(service.events.length, 12);
  });

  it("SIGTERM with a handler that goes on: the process goes on, and so does its client", async (t) => {
    const service = await fake(t);
    const script = `${STAY} track(); let n = 0; process.on("SIGTERM", () => {
      if (++n === 1) return setTimeout(() => { track(); process.kill(process.pid, "SIGTERM"); }, 2000);
      setTimeout(() => process.exit(9), 2000);
    });`;
    const { code } = await run(t, service.url, script, "SIGTERM");
    assert.deepEqual([code, service.events.length], [9, 4]);
  });

  it("SIGTERM with a handler that ends the process if it is the only one: it finds itself alone", async (t) => {
    const service = await fake(t);
    const script = `${STAY} track(); process.on("SIGTERM", () => process.listenerCount("SIGTERM") === 1 && process.exit(5));`;
    const { code } = await run(t, service.url, script, "SIGTERM");
    assert.equal(code, 5);
  });

  it("SIGTERM while the service is down: the process still ends, and says what is lost", async (t) => {
    const { by, took, output } = await run(t, "http://127.0.0.1:9", `${STAY} track(2);`, "SIGTERM");
    assert.equal(by, "SIGTERM");
    assert.ok(took < 10_000, `${took} ms`);
    assert.match(output, /dropped 2 exit\ndropped 2 exit/);
  });

  it("a second SIGTERM ends the process at once", async (t) => {
    const service = await fake(t, () => "hang");
    const { by, took } = await run(t, service.url, `${STAY} track(); setTimeout(() => process.kill(process.pid, "SIGTERM"), 1000);`, "SIGTERM");
    assert.equal(by, "SIGTERM");
    assert.ok(took < 4000, `${took} ms`);
  });
});
