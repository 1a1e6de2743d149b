// A process flushes when it ends.
import { createClient } from "@mlops-service/client";

const client = createClient({ url: process.env.MLOPS_SERVICE_URL ?? "http://localhost:5001" });

client.track({
  business_id: "acme",
  conversation_id: "conversation-1",
  response_time_ms: 840,
  model_name: "gemini-1.5-flash",
  tokens_used: 512,
  prompt_tokens: 400,
  completion_tokens: 112,
  intent_detected: "appointment",
  appointment_requested: true,
});
