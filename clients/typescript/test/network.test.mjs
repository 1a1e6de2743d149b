// TLS with an authority of one's own, and names that resolve to an address on which nobody listens.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { certificates } from "./certificates.mjs";
import { KEY, Service } from "./service.mjs";

const ONCE = fileURLToPath(new URL("children/once.cjs", import.meta.url));

async function once(url, environment, ...parameters) {
  const env = { ...process.env, MLOPS_API_KEY: KEY, ...environment };
  const { stdout } = await promisify(execFile)(process.execPath, [...parameters, ONCE, url], { env });
  return JSON.parse(stdout);
}

/** The service as it runs in production: behind a proxy that ends TLS. */
async function behindTls(t, service) {
  const { ca, cert, key } = certificates();
  const proxy = https.createServer({ cert, key }, (request, response) => {
    const onward = http.request(`${service.url}${request.url}`, { method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
  t.after(() => proxy.close());
  const file = `${service.directory}/authority.pem`;
  writeFileSync(file, ca);
  return { url: `https://localhost:${proxy.address().port}`, ip: `https://127.0.0.1:${proxy.address().port}`, file };
}

test("TLS is verified, and an authority of one's own can be trusted", async (t) => {
  const service = await Service.start(t);
  const { url, ip, file } = await behindTls(t, service);
  const distrusted = await once(url);
  assert.deepEqual([distrusted.sent, distrusted.waiting], [0, 1]);
  assert.match(distrusted.errors[0], /certificate/);
  assert.equal(await service.counted(), 0);
  for (const address of [url, ip]) assert.equal((await once(address, { NODE_EXTRA_CA_CERTS: file })).sent, 1);
  assert.equal(await service.counted(), 2);
  assert.match(readFileSync(file, "utf8"), /BEGIN CERTIFICATE/);
});

test("localhost works where it resolves to ::1 first and the service listens on 127.0.0.1 only", async (t) => {
  const service = await Service.start(t);
  const resolver = `${service.directory}/resolver.cjs`;
  // As on a host whose file of names has ::1 first, or alone, with a runtime that tries one address.
  writeFileSync(resolver, `
    const dns = require("node:dns");
    const real = dns.lookup;
    dns.lookup = (name, options, done) => {
      if (name !== "localhost") return real(name, options, done);
      process.nextTick(() => options.all ? done(null, [{ address: "::1", family: 6 }]) : done(null, "::1", 6));
    };`);
  const url = `http://localhost:${service.port}`;
  const plain = await promisify(execFile)(process.execPath, ["--require", resolver, "--eval",
    `fetch(${JSON.stringify(url)}).then(() => console.log("reached"), () => console.log("not reached"))`]);
  assert.equal(plain.stdout, "not reached\n");
  const { sent, failures } = await once(url, {}, "--require", resolver);
  assert.deepEqual([sent, failures], [1, 0]);
  assert.equal(await service.counted(), 1);
});

test("a name that does not exist is told", async () => {
  const { errors, waiting } = await once("http://mlops.invalid:5001");
  assert.equal(waiting, 1);
  assert.match(errors[0], /Cannot reach http:\/\/mlops\.invalid:5001: .*(ENOTFOUND|EAI_AGAIN)/);
});
