// In place of the types of Node.js and Next.js, which the app has.
declare const process: { env: Record<string, string | undefined> };

declare module "next/server" {
  export function after(task: () => unknown): void;
}
