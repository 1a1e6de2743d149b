// Bun and Deno, where they are installed: on the PATH, or where `BUN` and `DENO` say. `npm install bun deno` anywhere is one way.
import assert from "node:assert/strict";
import { execFile, spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { KEY, Service } from "./service.mjs";

const STEADY = fileURLToPath(new URL("children/steady.mjs", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../examples/", import.meta.url));

const RUNTIMES = {
  bun: [process.env.BUN || "bun"],
  deno: [process.env.DENO || "deno", "run", "--allow-env", "--allow-net", "--allow-read", "--allow-write", "--allow-sys", "--allow-run"],
};

for (const [name, [program, ...parameters]] of Object.entries(RUNTIMES)) {
  const skip = spawnSync(program, ["--version"]).status !== 0 && `no ${name} here`;
  test(`the examples run on ${name}`, { skip }, async (t) => {
    const service = await Service.start(t);
    const spool = `${service.directory}/tracking`;
    const env = { ...process.env, MLOPS_API_KEY: KEY, MLOPS_SERVICE_URL: service.url, TRACKING_SPOOL: spool };
    const run = (example) => promisify(execFile)(program, [...parameters, example], { env, cwd: EXAMPLES });
    const { stderr } = await run("spool.mjs");
    assert.match(stderr, /refused: Invalid value for field: tokens_used/);
    assert.equal(await service.counted(), 1);
    assert.deepEqual(readdirSync(spool), []);
    // Sent when the process has nothing left to do.
    await run("report.mjs");
    assert.equal(await service.counted(), 2);
  });

  test(`on ${name}, SIGTERM flushes, and the process ends as it would`, { skip }, async (t) => {
    const service = await Service.start(t);
    const env = { ...process.env, MLOPS_API_KEY: KEY, MLOPS_SERVICE_URL: service.url };
    for (const [handler, ending] of [["none", "SIGTERM"], ["handler", 7]]) {
      const child = spawn(program, [...parameters, STEADY, handler], { env, stdio: ["ignore", "pipe", "inherit"] });
      t.after(() => child.kill("SIGKILL"));
      const ended = new Promise((done) => child.once("exit", (code, signal) => done(signal ?? code)));
      await new Promise((ready) => child.stdout.once("data", ready));
      child.kill("SIGTERM");
      assert.equal(await ended, ending);
    }
    assert.equal(await service.counted(), 3000);
  });
}
