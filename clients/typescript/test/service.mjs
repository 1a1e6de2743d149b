// The real service, on a port and a database of its own.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const BINARIES = [process.env.MLOPS_SERVICE_BIN, `${ROOT}target/release/mlops-service`, `${ROOT}target/debug/mlops-service`];
export const BINARY = BINARIES.find((file) => file && existsSync(file));
if (!BINARY) throw new Error("no mlops-service: build it, or set MLOPS_SERVICE_BIN");

export const KEY = "a-key-that-is-only-used-in-these-tests";

export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until the condition holds. */
export async function until(condition, what, ms = 20_000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) if (await condition()) return;
  throw new Error(`not within ${ms} ms: ${what}`);
}

export function temporaryDirectory() {
  return mkdtempSync(path.join(os.tmpdir(), "mlops-client-"));
}

export class Service {
  constructor(settings = {}) {
    this.settings = settings;
    this.directory = temporaryDirectory();
  }

  static async start(t, settings) {
    const service = new Service(settings);
    service.port = await freePort();
    t.after(() => service.end());
    await service.start();
    return service;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    const { PATH, HOME } = process.env;
    const env = {
      PATH, HOME, MLOPS_API_KEY: KEY, SERVICE_PORT: String(this.port), SERVICE_HOST: "127.0.0.1",
      DATABASE_URL: `sqlite:${this.directory}/mlops.db`, RATE_LIMIT_TRACK: "off", FLOOD_LIMIT_PER_SECOND: "off", ...this.settings,
    };
    this.process = spawn(BINARY, [], { env, cwd: this.directory, stdio: ["ignore", "ignore", "pipe"] });
    this.log = "";
    this.process.stderr.on("data", (text) => (this.log += text));
    this.ended = new Promise((ended) => this.process.once("exit", ended));
    await until(async () => {
      if (this.process.exitCode !== null) throw new Error(`the service ended:\n${this.log}`);
      return (await fetch(`${this.url}/health/ready`).catch(() => undefined))?.ok;
    }, "the service is ready", 60_000);
  }

  async kill(signal = "SIGKILL") {
    this.process.kill(signal);
    await this.ended;
  }

  async restart(signal) {
    await this.kill(signal);
    await this.start();
  }

  async end() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Returns how many events of a business are counted, and how many are stored. */
  async counted(business = "acme") {
    const metrics = await (await fetch(`${this.url}/metrics`)).text();
    let counted = 0;
    for (const [, id, value] of metrics.matchAll(/^ai_requests_total\{business_id="([^"]*)"[^}]*\} (\d+)$/gm)) {
      if (id === business) counted += Number(value);
    }
    return counted;
  }

  async analytics(business = "acme", query = "") {
    const response = await fetch(`${this.url}/analytics/${business}${query}`, { headers: { "X-API-Key": KEY } });
    return response.json();
  }
}

export const report = (more = {}) => ({ business_id: "acme", response_time_ms: 120, tokens_used: 42, ...more });
