// The few functions of Node.js that this package uses, so that it needs no types from elsewhere.

declare module "node:fs" {
  export function mkdirSync(path: string, options: { recursive: boolean; mode: number }): void;
  export function readdirSync(path: string): string[];
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function writeFileSync(path: string, data: string, options: { mode: number }): void;
  export function openSync(path: string, flags: string, mode: number): number;
  export function writeSync(file: number, data: string): number;
  export function closeSync(file: number): void;
  export function fdatasync(file: number, callback: (error: Error | null) => void): void;
  export function renameSync(from: string, to: string): void;
  export function unlinkSync(path: string): void;
  export function utimesSync(path: string, accessed: Date, modified: Date): void;
  export function statSync(path: string): { mtimeMs: number; size: number };
}

declare module "node:buffer" {
  export const Buffer: { byteLength(text: string): number };
}

declare module "node:os" {
  export function hostname(): string;
}

declare module "node:path" {
  export function join(...parts: string[]): string;
}

declare module "node:crypto" {
  export function randomFillSync(bytes: Uint8Array): void;
}

declare module "node:zlib" {
  export function gzip(
    text: string,
    options: { level: number },
    callback: (error: Error | null, result: Uint8Array<ArrayBuffer>) => void,
  ): void;
}

declare module "node:process" {
  type Event = "beforeExit" | "exit" | "SIGTERM";
  const process: {
    readonly pid: number;
    uptime(): number;
    kill(pid: number, signal: string | number): void;
    on(event: Event, listener: () => void): void;
    prependListener(event: Event, listener: () => void): void;
    removeListener(event: Event, listener: () => void): void;
    listenerCount(event: Event): number;
  };
  export default process;
}
