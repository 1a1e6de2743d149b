// The examples, as they are, against the real service.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { compile, STRICT } from "./compile.mjs";
import { KEY, Service } from "./service.mjs";

const PACKAGE = fileURLToPath(new URL("../", import.meta.url));
const EXAMPLES = `${PACKAGE}examples/`;

function run(service, ...parameters) {
  const env = { ...process.env, MLOPS_API_KEY: KEY, MLOPS_SERVICE_URL: service.url, TRACKING_SPOOL: `${service.directory}/tracking` };
  return promisify(execFile)(process.execPath, parameters, { env, cwd: EXAMPLES });
}

test("the README's example is one that runs here, it names the others, and it fits one screen", () => {
  const readme = readFileSync(`${PACKAGE}README.md`, "utf8");
  assert.equal(/```ts\n(.*?)```/s.exec(readme)[1], readFileSync(`${EXAMPLES}next-route.ts`, "utf8"));
  for (const name of readdirSync(EXAMPLES)) assert.ok(name === "next-route.ts" || readme.includes(`examples/${name})`), name);
  assert.ok(readme.split("\n").length <= 61);
});

test("report.mjs, spool.mjs", async (t) => {
  const service = await Service.start(t);
  await run(service, "report.mjs");
  assert.equal(await service.counted(), 1);
  const { stdout, stderr } = await run(service, "spool.mjs");
  assert.match(stdout, /sent: 1,.*refused: 1,/s);
  assert.match(stderr, /^refused: Invalid value for field: tokens_used /);
  assert.equal(await service.counted(), 2);
});

test("worker.mjs", async (t) => {
  const service = await Service.start(t);
  const { default: worker } = await import("../examples/worker.mjs");
  const waiting = [];
  const env = { MLOPS_SERVICE_URL: service.url, MLOPS_API_KEY: KEY };
  const response = await worker.fetch(new Request("http://example.com/hours"), env, { waitUntil: (promise) => waiting.push(promise) });
  assert.equal(await response.text(), "You asked for /hours");
  await Promise.all(waiting);
  assert.equal(await service.counted(), 1);
});

test("next-route.ts", async (t) => {
  const service = await Service.start(t);
  const output = ["--rootDir", ".", "--outDir", "test/compiled", "--module", "nodenext", "--ignoreConfig"];
  compile(PACKAGE, "examples/next-route.ts", "test/app.d.ts", ...output, ...STRICT);
  // In place of Next.js: `after` as it is documented.
  const script = `${service.directory}/next.mjs`;
  writeFileSync(script, `
    import { register } from "node:module";
    const next = "data:text/javascript,export const after = (task) => globalThis.tasks.push(task)";
    globalThis.tasks = [];
    register("data:text/javascript," + encodeURIComponent(\`export const resolve = (name, context, on) =>
      name === "next/server" ? { url: "\${next}", shortCircuit: true } : on(name, context);\`));
    const { POST } = await import(${JSON.stringify(`file://${PACKAGE}test/compiled/examples/next-route.js`)});
    const response = await POST(new Request("http://example.com", { method: "POST", body: '{"message":"Hello"}' }));
    console.log((await response.json()).answer);
    for (const task of tasks) await task();
    process.exit(0);`);
  const { stdout } = await run(service, script);
  assert.equal(stdout, "You said: Hello\n");
  assert.equal(await service.counted(), 1);
});
