// The types that callers see.

type Optional<T> = T | null | undefined;

/** One finished AI interaction, as `POST /track` takes it. What is absent or null has the service's default. */
export interface Report {
  /** 1 to 255 characters. */
  business_id: string;
  /** 0 to 2147483647; rounded to whole milliseconds. */
  response_time_ms: number;
  /** A whole number. */
  tokens_used: number;
  conversation_id?: Optional<string>;
  session_id?: Optional<string>;
  /** 0 to 1. */
  success_rate?: Optional<number>;
  prompt_tokens?: Optional<number>;
  completion_tokens?: Optional<number>;
  /** Those of `prompt_tokens` that came from a cache. */
  cached_tokens?: Optional<number>;
  /** Those of `completion_tokens` that the model used for reasoning. */
  reasoning_tokens?: Optional<number>;
  /** Whether the numbers of tokens are estimates. */
  tokens_estimated?: Optional<boolean>;
  /** US dollars. Without it, the service computes the cost from its price table. */
  api_cost_usd?: Optional<number>;
  model_name?: Optional<string>;
  intent_detected?: Optional<string>;
  response_type?: Optional<string>;
  appointment_requested?: Optional<boolean>;
  appointment_booked?: Optional<boolean>;
  human_handoff_requested?: Optional<boolean>;
  handoff_reason?: Optional<string>;
  user_message_length?: Optional<number>;
  ai_response_length?: Optional<number>;
  /** 0 to 1; the service ignores any other value and keeps the event. */
  user_satisfaction?: Optional<number>;
  /** A UUID that names the event, if the caller has one. Without it, `track` makes a UUIDv7. */
  event_id?: Optional<string>;
}

/** Why an event was refused. It was not stored, and is not sent again. */
export interface Refusal {
  /** The status of the response, or 0 if the event could not be sent at all. */
  status: number;
  /** The service's reason, such as `Invalid value for field: tokens_used`. */
  error: string;
}

/**
 * Why events were dropped: `full`, the buffer was; `closed`, they were tracked after `close`; `exit`, they were still waiting when the
 * client or the process ended.
 */
export type DropReason = "full" | "closed" | "exit";

/** Events that are lost. */
export interface Drop {
  reason: DropReason;
  events: number;
  bytes: number;
}

export interface ClientOptions {
  /** Where the service is, such as `http://localhost:5001`. */
  url: string;
  /** The API key; by default the environment variable `MLOPS_API_KEY`. Without one, no key is sent. */
  apiKey?: string | undefined;
  /** How many events may wait; 10,000 by default. */
  maxEvents?: number | undefined;
  /** How many bytes of JSON may wait; 8 MiB by default. */
  maxBytes?: number | undefined;
  /** A directory that keeps waiting events across a crash. Node.js, Bun and Deno only. */
  spoolDir?: string | undefined;
  /** Called once for each refused event. */
  onReject?: ((event: unknown, refusal: Refusal) => void) | undefined;
  /** Called when events are lost, once per turn of the event loop for all of them. */
  onDrop?: ((drop: Drop) => void) | undefined;
  /** Called for each failed attempt to send. The events wait and are sent again. */
  onError?: ((error: Error) => void) | undefined;
}

/**
 * Counts since the client was created. Each event is in one place:
 * `tracked + recovered = sent + duplicates + refused + dropped + waiting`.
 */
export interface Stats {
  /** Events given to `track`. */
  tracked: number;
  /** Events that an ended process had left in the spool. */
  recovered: number;
  /** Events that the service took. */
  sent: number;
  /** Events that the service had already from an attempt whose response was lost. */
  duplicates: number;
  refused: number;
  dropped: number;
  waiting: number;
  waitingBytes: number;
  /** Attempts to send, and how many of them failed. */
  requests: number;
  failures: number;
}

export interface Client {
  /** Buffers a report. Returns its `event_id` at once, and never throws. */
  track(report: Report): string;
  /** Sends what is buffered. Resolves when all of it was answered, or after eight seconds; never rejects. */
  flush(): Promise<void>;
  /** Flushes and ends the client. Never rejects. */
  close(): Promise<void>;
  stats(): Stats;
}
