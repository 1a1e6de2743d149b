/**
 * Reports the receptionist's answers to mlops-service. Takes the place of the app's `lib/mlops-tracking.ts`, with the same exports.
 *
 * Settings: `MLOPS_SERVICE_URL` (http://localhost:5001 when unset) and `MLOPS_API_KEY`, both on the server only.
 * The service stores each report in `ai_metrics` and counts it at once, so nothing here inserts a row or asks for a refresh.
 */

import { type Client, createClient, mayFreeze, type Report } from "@mlops-service/client";

/** The fields of a report. */
export type MetricsData = Report;

export interface TokenMetrics {
  promptTokens: number;
  completionTokens: number;
  totalTokens: number;
}

/** What the AI SDK says of a call: version 4 calls the numbers prompt and completion tokens, later ones input and output tokens. */
export interface Usage {
  promptTokens?: number | undefined;
  completionTokens?: number | undefined;
  inputTokens?: number | undefined;
  outputTokens?: number | undefined;
  totalTokens?: number | undefined;
}

const CHARACTERS_PER_TOKEN = 4;
// How long an answer may be held up where the host may freeze the process after it.
const LONGEST_WAIT_MS = 2000;

// Global, because a development server loads this file again after each change of the app.
const shared = globalThis as { mlopsTracking?: Client };

/** Returns the client. It is made by the first report, so that importing this file needs no settings. */
function tracking(): Client {
  return (shared.mlopsTracking ??= createClient({
    url: process.env.MLOPS_SERVICE_URL || "http://localhost:5001",
    onReject: (_event, { error }) => console.error("mlops-service refused a report:", error),
    onDrop: ({ events, reason }) => console.error(`${events} reports were lost (${reason})`),
    onError: (error) => console.warn("Reports are waiting:", error.message),
  }));
}

/**
 * Reports an answer. Resolves when the report is in the buffer; where the host may freeze the process after the answer, when it was sent,
 * or after two seconds. Never rejects.
 *
 * `api_cost_usd` is left out: the service computes the cost from the model and the tokens.
 */
export async function trackMetrics(data: MetricsData): Promise<void> {
  try {
    const { api_cost_usd: _estimate, ...report } = data;
    report.tokens_estimated ??= estimates.has(report);
    const reporting = tracking();
    reporting.track(report);
    if (mayFreeze()) await withinLimit(reporting.flush());
  } catch (error) {
    // A customer gets the answer whatever becomes of its report.
    console.error("Cannot report to mlops-service:", error instanceof Error ? error.message : error);
  }
}

async function withinLimit(sent: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((over) => (timer = setTimeout(over, LONGEST_WAIT_MS)));
  await Promise.race([sent, limit]);
  clearTimeout(timer);
}

/**
 * Returns the tokens of an answer: those in `usage` if the AI SDK gave them, else an estimate of four characters a token. A report with
 * estimated numbers says so in `tokens_estimated`.
 */
export function calculateTokenUsage(systemPrompt: string, userMessage: string, aiResponse: string, usage?: Usage | null): TokenMetrics {
  const prompt = usage?.inputTokens ?? usage?.promptTokens;
  const completion = usage?.outputTokens ?? usage?.completionTokens;
  if (isCount(prompt) && isCount(completion)) {
    const total = usage?.totalTokens;
    const sum = prompt + completion;
    const tokens = { promptTokens: prompt, completionTokens: completion, totalTokens: isCount(total) && total > sum ? total : sum };
    estimates.forget(tokens);
    return tokens;
  }
  const promptTokens = estimate(systemPrompt) + estimate(userMessage);
  const completionTokens = estimate(aiResponse);
  const tokens = { promptTokens, completionTokens, totalTokens: promptTokens + completionTokens };
  estimates.add(tokens);
  return tokens;
}

/** Whether the SDK knew the number: some providers leave it out, which version 4 shows as NaN. */
function isCount(tokens: number | undefined): tokens is number {
  return typeof tokens === "number" && Number.isInteger(tokens) && tokens >= 0;
}

function estimate(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}

/**
 * The latest estimates. Callers copy the numbers into their report one by one, so this is how a report is known to have estimated ones
 * without a change to every caller.
 */
const estimates = {
  latest: new Set<string>(),

  add(tokens: TokenMetrics): void {
    this.forget(tokens);
    for (const numbers of this.names(tokens)) this.latest.add(numbers);
    for (const oldest of this.latest) {
      if (this.latest.size <= 2000) break;
      this.latest.delete(oldest);
    }
  },

  /** Of an estimate and real numbers that are the same, the later one counts. */
  forget(tokens: TokenMetrics): void {
    for (const numbers of this.names(tokens)) this.latest.delete(numbers);
  },

  /** A report may have all three numbers, or the total alone. */
  names({ promptTokens, completionTokens, totalTokens }: TokenMetrics): string[] {
    return [`${promptTokens} ${completionTokens} ${totalTokens}`, `- - ${totalTokens}`];
  },

  has({ prompt_tokens, completion_tokens, tokens_used }: MetricsData): boolean {
    return this.latest.has(`${prompt_tokens ?? "-"} ${completion_tokens ?? "-"} ${tokens_used}`);
  },
};

/** Returns about what so many tokens of Gemini 1.5 Flash cost, in US dollars, whichever way they went. For display only. */
export function estimateApiCost(totalTokens: number): number {
  // The mean of its prices for input (0.075) and output (0.30).
  const dollarsPerMillion = 0.1875;
  return round(totalTokens * dollarsPerMillion / 1e6, 6);
}

/** Returns the running mean of successes; `total` counts this interaction. */
export function calculateSuccessRate(wasSuccessful: boolean, previous = 1, total = 1): number {
  const before = previous * (total - 1);
  return round((before + (wasSuccessful ? 1 : 0)) / total, 4);
}

function round(value: number, decimals: number): number {
  const scale = 10 ** decimals;
  return Math.round(value * scale) / scale;
}

const FRUSTRATION = ["frustrated", "angry", "terrible", "awful", "horrible", "useless"];
// An answer this short is mostly one that the model could not give.
const SHORTEST_ANSWER = 20;

/** Whether a person should take over: the answer says so, is hardly one, or the customer is frustrated. */
export function shouldTriggerHandoff(responseType: string, userMessage: string, aiResponse: string): boolean {
  return responseType === "human_handoff" || aiResponse.length < SHORTEST_ANSWER || mentions(userMessage, FRUSTRATION);
}

// The first intent with one of its words in the message is the one.
const INTENTS: readonly (readonly [string, readonly string[]])[] = [
  ["appointment", ["book", "schedule", "appointment"]],
  ["pricing", ["price", "cost", "fee", "charge"]],
  ["services", ["service", "offer", "do you", "what"]],
  ["contact", ["contact", "phone", "email", "address"]],
];

/** Returns what the customer wants: `appointment`, `pricing`, `services`, `contact` or `general`. */
export function detectIntent(userMessage: string, aiResponseType: string): string {
  if (aiResponseType === "appointment_booking") return "appointment";
  return INTENTS.find(([, words]) => mentions(userMessage, words))?.[0] ?? "general";
}

function mentions(message: string, words: readonly string[]): boolean {
  const text = message.toLowerCase();
  return words.some((word) => text.includes(word));
}
