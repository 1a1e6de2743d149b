// Packs the package, which builds it, and runs its tests, with whichever Node.js runs this file.
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const chosen = process.argv.slice(2);
const files = readdirSync(here).filter((name) => name.endsWith(".test.mjs") && (chosen.length === 0 || chosen.includes(name.split(".")[0])));

function run(...parameters) {
  const { status } = spawnSync(process.execPath, parameters, { cwd: `${here}..`, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

for (const name of readdirSync(`${here}..`)) if (name.endsWith(".tgz")) rmSync(`${here}../${name}`);
execFileSync("npm", ["pack", "--silent"], { cwd: `${here}..`, stdio: "inherit" });
// Three at a time, because many of them wait: more would only take the processor from the services that they start.
run("--test", "--test-concurrency=3", ...files.map((name) => `test/${name}`));
