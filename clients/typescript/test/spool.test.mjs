// The spool: what was tracked survives the process.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, cpSync, openSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { openFileSpool } from "../dist/esm/file-spool.js";
import { fileName, isGone, parseName, thisProcess } from "../dist/esm/spool-name.js";
import { createClient } from "../dist/esm/node.js";
import { balanced, fake, flushed, PATIENT, QUICK, taken, told } from "./fake.mjs";
import { KEY, report, Service, sleep, temporaryDirectory, until } from "./service.mjs";

const TRACKER = fileURLToPath(new URL("children/tracker.mjs", import.meta.url));

function spoolDirectory(t) {
  const directory = temporaryDirectory();
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return path.join(directory, "spool");
}

test("a process that is killed loses nothing that track() returned for", { timeout: 300_000 }, async (t) => {
  const service = await Service.start(t);
  const spoolDir = spoolDirectory(t);
  let [begun, returned, other] = [0, 0, 0];
  for (let kill = 0; kill < (process.env.CLIENTS_TEST_FULL ? 20 : 4); kill++) {
    const env = { ...process.env, MLOPS_API_KEY: KEY, URL_OF_SERVICE: service.url, SPOOL: spoolDir };
    // Into a file: what is in it outlives the process, and it is never too full to be written to.
    const file = path.join(service.directory, `said-${kill}`);
    const output = openSync(file, "w");
    const child = spawn(process.execPath, [TRACKER], { env, stdio: ["ignore", output, "inherit"] });
    // A process that is left would keep this one from ending.
    t.after(() => child.kill("SIGKILL"));
    const closed = new Promise((done) => child.once("close", done));
    closeSync(output);
    await until(() => statSync(file).size > 1000, "events", 60_000);
    await sleep(500 * Math.random());
    // Every other time the service is down as well, so that the spool has more than one batch.
    if (kill % 2 === 1) await service.kill();
    await sleep(100);
    child.kill("SIGKILL");
    await closed;
    for (const letter of readFileSync(file, "utf8")) letter === "b" ? begun++ : letter === "e" ? returned++ : other++;
    if (kill % 2 === 1) await service.start();
  }
  const { client } = told(t, { url: service.url, apiKey: KEY, spoolDir }, PATIENT);
  await flushed(client);
  const counted = await service.counted();
  t.diagnostic(`${returned} tracked, ${begun - returned} of which track() had not returned yet, ${counted} counted`);
  // Between the two stands at most one event for each kill: written, but its track() had not returned yet.
  assert.ok(counted >= returned && counted <= begun, `${returned} <= ${counted} <= ${begun}`);
  assert.equal(other, 0);
  await client.close();
  assert.deepEqual(readdirSync(spoolDir), []);
});

test("what is waiting at close is sent by the next client, in order and with the same ids", async (t) => {
  const spoolDir = spoolDirectory(t);
  const first = told(t, { url: "http://127.0.0.1:9", spoolDir }, { ...QUICK, wait: 100 });
  const ids = Array.from({ length: 3000 }, () => first.client.track(report({ session_id: "x".repeat(200) })));
  await first.client.close();
  assert.deepEqual([first.drops.length, first.client.stats().waiting], [0, 3000]);
  const service = await fake(t);
  const { client } = told(t, { url: service.url, spoolDir });
  const more = client.track(report());
  await client.flush();
  assert.deepEqual(service.events.map((event) => event.event_id), [...ids, more]);
  assert.deepEqual([client.stats().recovered, client.stats().sent], [3000, 3001]);
  assert.ok(balanced(client.stats()));
  await client.close();
  assert.deepEqual(readdirSync(spoolDir), []);
});

test("what was answered is not sent again, and nobody else may read the files", async (t) => {
  const spoolDir = spoolDirectory(t);
  const service = await fake(t, () => service.attempts.length === 2 ? "hang" : undefined);
  const first = told(t, { url: service.url, spoolDir }, { ...QUICK, wait: 200 });
  for (let n = 0; n < 1500; n++) first.client.track(report({ response_time_ms: n }));
  for (const name of readdirSync(spoolDir)) assert.equal(statSync(path.join(spoolDir, name)).mode & 0o77, 0);
  await first.client.close();
  const { client } = told(t, { url: service.url, spoolDir });
  assert.equal(client.stats().recovered, 500);
  await client.flush();
  assert.deepEqual(service.events.map((event) => event.response_time_ms), Array.from({ length: 1500 }, (_, n) => n));
});

test("an event that is sent again while later ones are done with survives a crash", async (t) => {
  const spoolDir = spoolDirectory(t);
  const rejected = [{ index: 0, error: "Failed to store metrics in database" }];
  const service = await fake(t, () => service.attempts.length === 1 ? [200, { ...taken(4), rejected }] : "hang");
  const first = told(t, { url: service.url, spoolDir }, { ...QUICK, wait: 200 });
  const [id] = Array.from({ length: 5 }, () => first.client.track(report()));
  await until(() => service.attempts.length === 2, "the second attempt");
  // As after a crash: what the files say is all there is.
  const copy = path.join(path.dirname(spoolDir), "copy");
  cpSync(spoolDir, copy, { recursive: true });
  for (const name of readdirSync(copy)) renameSync(path.join(copy, name), path.join(copy, name.replace(/_[^_]+(\.events.*)$/, "_left$1")));
  const later = await fake(t);
  const { client } = told(t, { url: later.url, spoolDir: copy });
  await client.flush();
  assert.deepEqual(later.events.map((event) => event.event_id), [id]);
});

test("recovered events leave half of the buffer for new ones, and what does not fit stays on disk", async (t) => {
  const spoolDir = spoolDirectory(t);
  const first = told(t, { url: "http://127.0.0.1:9", spoolDir }, { ...QUICK, wait: 100 });
  for (let n = 0; n < 5000; n++) first.client.track(report({ session_id: "x".repeat(200) }));
  await first.client.close();
  const second = told(t, { url: "http://127.0.0.1:9", spoolDir, maxBytes: 1_400_000 }, { ...QUICK, wait: 100 });
  const { recovered, waitingBytes } = second.client.stats();
  assert.ok(recovered > 1000 && recovered < 5000 && waitingBytes <= 700_000, JSON.stringify(second.client.stats()));
  for (let n = 0; n < 1000; n++) second.client.track(report({ session_id: "y".repeat(200) }));
  assert.deepEqual([second.drops, second.client.stats().waiting], [[], recovered + 1000]);
  await second.client.close();
  const service = await fake(t);
  const { client } = told(t, { url: service.url, spoolDir, maxEvents: 12_000 });
  await client.flush();
  assert.equal(service.events.length, 6000);
});

test("files of living processes are left alone; those of dead ones are taken over once", (t) => {
  const spoolDir = spoolDirectory(t);
  const open = () => openFileSpool(spoolDir, (error) => assert.fail(error));
  const room = { events: 1000, bytes: 1e6 };
  const living = open();
  living.append(`{"a":1}`);
  assert.deepEqual(open().recover(room), []);
  const self = thisProcess("me");
  const put = (owner, text) => writeFileSync(path.join(spoolDir, fileName(1, 0, owner)), text);
  put({ ...self, pid: 2 ** 22 + 1, client: "dead" }, `{"b":1}\n{"b":2}\n{"b":`);
  put({ ...self, start: self.start - 100, client: "earlier" }, `{"c":1}\nnot json\n{"c":2}\n`);
  put({ ...self, host: "elsewhere", client: "remote" }, `{"d":1}\n`);
  put({ ...self, host: "stale", client: "remote" }, `{"e":1}\n`);
  const old = new Date(Date.now() - 3_600_000);
  utimesSync(path.join(spoolDir, fileName(1, 0, { ...self, host: "stale", client: "remote" })), old, old);
  writeFileSync(path.join(spoolDir, "notes.txt"), "not ours");
  const [one, two] = [open(), open()];
  const found = [...one.recover(room), ...two.recover(room)].map(({ report: text }) => text).sort();
  assert.deepEqual(found, [`{"b":1}`, `{"b":2}`, `{"c":1}`, `{"c":2}`, `{"e":1}`]);
});

test("names of files say whose they are", () => {
  const owner = { host: "web-1", pid: 7, start: 1_700_000_000, client: "abc" };
  assert.deepEqual(parseName(fileName(5, 3, owner)), { begun: 5, number: 3, owner });
  assert.deepEqual(parseName(fileName(5, 3, undefined)), { begun: 5, number: 3, owner: undefined });
  assert.equal(parseName("something.events"), undefined);
  assert.equal(isGone(undefined, Date.now(), owner), true);
});

test("a disk that takes nothing is told, and the events are sent all the same", async (t) => {
  const spoolDir = spoolDirectory(t);
  const service = await fake(t);
  const { client, errors } = told(t, { url: service.url, spoolDir }, { ...QUICK, linger: 500 });
  rmSync(spoolDir, { recursive: true });
  for (let n = 0; n < 3; n++) client.track(report());
  await client.flush();
  assert.equal(service.events.length, 3);
  assert.match(errors[0].message, /Cannot write to the spool/);
  assert.throws(() => createClient({ url: service.url, spoolDir: "/dev/null/spool" }));
});
