// What the host does with a process once a request is answered.

import { environment } from "./platform.js";
import { NOT_IN_A_BROWSER } from "./refusal.js";

type WaitUntil = (promise: Promise<unknown>) => void;
type RequestContext = { get?: () => { waitUntil?: WaitUntil } | undefined };

// Where hosts put the context of the current request: Next.js documents the first, for `after`; Vercel's own functions use the second.
const CONTEXTS = [Symbol.for("@next/request-context"), Symbol.for("@vercel/request-context")];

/** Returns the host's `waitUntil` for the current request: it runs the function on until the promise settles. */
export function waitUntil(): WaitUntil | undefined {
  const globals = globalThis as unknown as Record<symbol, RequestContext | undefined>;
  for (const name of CONTEXTS) {
    const holder = globals[name];
    if (holder === undefined) continue;
    try {
      const context = holder.get?.();
      if (typeof context?.waitUntil === "function") return (promise) => context.waitUntil?.(promise);
    } catch {
      // A host whose context cannot be read outside a request has none now.
    }
  }
  return undefined;
}

// Set by AWS Lambda (also under Netlify), Vercel, Google Cloud Run and Functions, Azure Functions, Deno Deploy.
const SERVERLESS = [
  "AWS_LAMBDA_FUNCTION_NAME",
  "VERCEL",
  "NETLIFY",
  "K_SERVICE",
  "FUNCTION_TARGET",
  "FUNCTIONS_WORKER_RUNTIME",
  "DENO_DEPLOYMENT_ID",
];

function detectServerless(): boolean {
  const globals = globalThis as { EdgeRuntime?: unknown; navigator?: { userAgent?: string } };
  if (typeof globals.EdgeRuntime === "string") return true;
  if (globals.navigator?.userAgent === "Cloudflare-Workers") return true;
  return SERVERLESS.some((name) => environment(name) !== undefined);
}

let serverless: boolean | undefined;

/** Whether the host may stop the process as soon as a request is answered. */
export function isServerless(): boolean {
  return (serverless ??= detectServerless());
}

/** Whether what is to be sent must be sent before the answer: the host may freeze the process, and has no `waitUntil` for this request. */
export function mayFreeze(): boolean {
  return isServerless() && waitUntil() === undefined;
}

/** Throws in a browser. The key must not get there: whoever opens the page could read it. */
export function refuseBrowser(): void {
  const globals = globalThis as { window?: { document?: unknown }; WorkerGlobalScope?: unknown; navigator?: { userAgent?: string } };
  const page = globals.window?.document !== undefined;
  const worker = globals.WorkerGlobalScope !== undefined && globals.navigator?.userAgent?.startsWith("Mozilla/") === true;
  if (page || worker) throw new Error(NOT_IN_A_BROWSER);
}
