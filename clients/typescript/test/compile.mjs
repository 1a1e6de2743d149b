// Runs the compiler of this package.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

const COMPILER = createRequire(import.meta.url).resolve("typescript/package.json").replace("package.json", "bin/tsc");

/** Compiles, and throws with the compiler's errors if there are any. */
export function compile(directory, ...parameters) {
  try {
    execFileSync(process.execPath, [COMPILER, ...parameters], { cwd: directory, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(error.stdout + error.stderr);
  }
}

export const STRICT = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--target", "es2022", "--lib", "es2022,dom", "--types", ""];
