// In place of the types of Node.js, which the app has.
declare const process: { env: Record<string, string | undefined> };
