// What `npm pack` makes, as an empty project installs it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import test, { after } from "node:test";
import { fileURLToPath } from "node:url";
import { compile, STRICT } from "./compile.mjs";
import { fake } from "./fake.mjs";
import { sleep, temporaryDirectory } from "./service.mjs";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
// `run.mjs` packs before the tests.
const packed = readdirSync(PACKAGE).find((name) => name.endsWith(".tgz"));
const project = temporaryDirectory();
after(() => rmSync(project, { recursive: true, force: true }));
writeFileSync(path.join(project, "package.json"), `{ "name": "empty", "private": true }`);
execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", path.join(PACKAGE, packed)], { cwd: project, stdio: "pipe" });
const installed = path.join(project, "node_modules/@mlops-service/client");
const manifest = JSON.parse(readFileSync(path.join(installed, "package.json"), "utf8"));

function write(name, text) {
  mkdirSync(path.dirname(path.join(project, name)), { recursive: true });
  writeFileSync(path.join(project, name), text);
}

function node(...parameters) {
  return execFileSync(process.execPath, parameters, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

const USE = `
  const client = createClient({ url: process.argv[2] });
  client.track({ business_id: "acme", response_time_ms: 1, tokens_used: 1 });
  client.close().then(() => console.log(client.stats().sent));`;

/** Runs a script while the service of this process can answer. */
async function used(t, name, ...parameters) {
  const service = await fake(t);
  const { execFile } = await import("node:child_process");
  const { promisify } = await import("node:util");
  const { stdout } = await promisify(execFile)(process.execPath, [...parameters, name, service.url], { cwd: project });
  await sleep(1);
  return [stdout.trim(), service.events.length];
}

test("the package has what it should, and depends on nothing", () => {
  assert.deepEqual(readdirSync(installed).sort(), ["CHANGELOG.md", "LICENSE", "README.md", "dist", "package.json", "receptionist"]);
  assert.deepEqual([manifest.dependencies, manifest.license, Object.keys(manifest.devDependencies)], [undefined, "MIT", ["typescript"]]);
  assert.deepEqual(readdirSync(path.join(project, "node_modules")).filter((name) => !name.startsWith(".")), ["@mlops-service"]);
  assert.equal(readFileSync(path.join(installed, "LICENSE"), "utf8"), readFileSync(path.join(PACKAGE, "../../LICENSE"), "utf8"));
  assert.match(readFileSync(path.join(installed, "CHANGELOG.md"), "utf8"), new RegExp(`## \\[${manifest.version}\\]`));
});

test("as an ES module and as CommonJS", async (t) => {
  write("use.mjs", `import { createClient } from "@mlops-service/client";${USE}`);
  write("use.cjs", `const { createClient } = require("@mlops-service/client");${USE}`);
  for (const name of ["use.mjs", "use.cjs"]) assert.deepEqual(await used(t, name), ["1", 1]);
});

test("from TypeScript, with its types", () => {
  const source = `
    import { createClient, type Client, type Drop, type Refusal, type Report, type Stats } from "@mlops-service/client";
    const client: Client = createClient({
      url: "http://localhost:5001", maxEvents: 5, maxBytes: 10, spoolDir: undefined, onError: (error: Error) => void error.message,
      onReject: (event: unknown, refusal: Refusal) => void [event, refusal.error], onDrop: (drop: Drop) => void drop.events,
    });
    const report: Report = { business_id: "acme", response_time_ms: 1, tokens_used: 1, conversation_id: null, session_id: undefined };
    const id: string = client.track(report);
    // @ts-expect-error a field that the service requires
    client.track({ business_id: "acme" });
    // @ts-expect-error a field of the wrong type
    client.track({ ...report, tokens_used: "1" });
    const stats: Stats = client.stats();
    export const all: [string, number, Promise<void>] = [id, stats.waiting, client.flush()];`;
  for (const extension of ["mts", "cts"]) write(`types.${extension}`, source);
  compile(project, "types.mts", "types.cts", "--noEmit", "--module", "nodenext", ...STRICT);
  compile(project, "types.mts", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler", ...STRICT);
});

test("the receptionist's file compiles in an app as it is", () => {
  cpSync(path.join(installed, "receptionist/mlops-tracking.ts"), path.join(project, "lib/mlops-tracking.ts"));
  cpSync(path.join(PACKAGE, "test/app.d.ts"), path.join(project, "lib/app.d.ts"));
  const options = ["lib/mlops-tracking.ts", "lib/app.d.ts", "--noEmit", "--module", "esnext", "--moduleResolution", "bundler"];
  compile(project, ...options, ...STRICT, "--isolatedModules", "--verbatimModuleSyntax");
});

/** Returns the files that an entry of the package imports, as a bundler would find them. */
function graph(entry, found = new Set()) {
  if (found.has(entry)) return found;
  found.add(entry);
  const text = readFileSync(path.join(installed, entry), "utf8");
  for (const [, from] of text.matchAll(/(?:from |require\()"([^"]+)"/g)) {
    if (from.startsWith(".")) graph(`./${path.join(path.dirname(entry), from)}`, found);
    else found.add(from);
  }
  return found;
}

/** Returns the entry that a bundler with these conditions takes. */
function entry(kind, ...conditions) {
  const choices = manifest.exports["."][kind];
  return Object.entries(choices).find(([name]) => name !== "types" && (name === "default" || conditions.includes(name)))[1];
}

test("a bundle for an edge runtime needs no module of Node.js", async (t) => {
  for (const kind of ["import", "require"]) {
    for (const condition of ["edge-light", "workerd", "unknown"]) {
      const files = graph(entry(kind, condition, condition === "edge-light" ? "node" : "browser-of-workers"));
      assert.ok(![...files].some((name) => !name.startsWith(".")), `${kind} ${condition}: ${[...files]}`);
    }
  }
  // With the globals that an edge runtime has. Node.js uses the others itself, so they are hidden from the package only.
  write("edge.mjs", `
    import { createClient, mayFreeze } from "@mlops-service/client";
    import { webcrypto } from "node:crypto";
    const [{ log }, [, , url]] = [console, process.argv];
    // Node.js 18 has it, but not as a global.
    globalThis.crypto ??= webcrypto;
    globalThis.EdgeRuntime = "edge-runtime";
    for (const name of ["process", "Buffer"]) {
      const real = globalThis[name];
      const hidden = () => new Error().stack.split("\\n")[3].includes("@mlops-service/client");
      Object.defineProperty(globalThis, name, { get: () => hidden() ? undefined : real });
    }
    const client = createClient({ url, apiKey: "k" });
    for (let n = 0; n < 100; n++) client.track({ business_id: "acme", response_time_ms: 1, tokens_used: 1 });
    await client.flush();
    log(mayFreeze(), client.stats().sent);
    try { createClient({ url, spoolDir: "spool" }); } catch (error) { log(error.message); }`);
  const [output, events] = await used(t, "edge.mjs", "--conditions=edge-light");
  assert.equal(output, "true 100\nspoolDir needs files, which this runtime does not have");
  assert.equal(events, 100);
});

test("a bundle for a browser has nothing that could send, or read a key, and says why", () => {
  for (const kind of ["import", "require"]) {
    for (const condition of ["browser", "react-native"]) {
      const files = [...graph(entry(kind, condition))];
      const text = files.map((name) => readFileSync(path.join(installed, name), "utf8")).join("");
      assert.doesNotMatch(text, /MLOPS_API_KEY|process|fetch\(|node:/);
    }
  }
  write("browser.mjs", `
    import { createClient } from "@mlops-service/client";
    try { createClient({ url: "http://localhost:5001" }); } catch (error) { console.log(error.message); }`);
  assert.match(node("--conditions=browser", "browser.mjs"), /does not start in a browser: everybody .* could read the API key/);
});

test("in a page it does not start either, whichever file a bundler took", () => {
  for (const globals of ["globalThis.window = { document: {} };", `
    globalThis.WorkerGlobalScope = class {};
    Object.defineProperty(globalThis, "navigator", { value: { userAgent: "Mozilla/5.0" } });`]) {
    write("page.cjs", `${globals}
      const { createClient } = require("@mlops-service/client");
      try { createClient({ url: "http://localhost:5001", apiKey: "secret-key" }); } catch (error) { console.log(error.message); }`);
    const output = node("page.cjs");
    assert.match(output, /does not start in a browser/);
    assert.doesNotMatch(output, /secret-key/);
  }
});

test("no file reads the key in the way that bundlers replace by its value", () => {
  for (const half of ["esm", "cjs"]) {
    for (const name of readdirSync(path.join(installed, "dist", half)).filter((file) => file.endsWith(".js"))) {
      assert.doesNotMatch(readFileSync(path.join(installed, "dist", half, name), "utf8").replace(/\/\/.*/g, ""), /process\.env\.\w/, name);
    }
  }
});
