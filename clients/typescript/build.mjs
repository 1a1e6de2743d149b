// Compiles the sources twice: ES modules into dist/esm, CommonJS into dist/cjs.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const compiler = createRequire(import.meta.url).resolve("typescript/package.json").replace("package.json", "bin/tsc");

rmSync(path.join(here, "dist"), { recursive: true, force: true });
for (const config of ["tsconfig.json", "tsconfig.cjs.json"]) {
  execFileSync(process.execPath, [compiler, "--project", path.join(here, config)], { stdio: "inherit" });
}
// The package is of ES modules, so the other half says of itself that it is not.
writeFileSync(path.join(here, "dist/cjs/package.json"), '{ "type": "commonjs" }\n');
