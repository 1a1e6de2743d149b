// Reports as the receptionist app's route does.
import { calculateSuccessRate, calculateTokenUsage, detectIntent, estimateApiCost, shouldTriggerHandoff, trackMetrics } from "../../../lib/mlops-tracking";

export async function POST(request: Request) {
  const begin = Date.now();
  const { message } = await request.json();
  const answer = `You said: ${message}. How may I help?`;
  const { promptTokens, completionTokens, totalTokens } = calculateTokenUsage("You are a receptionist.", message, answer);
  await trackMetrics({
    business_id: "receptionist",
    session_id: "session-1",
    response_time_ms: Date.now() - begin,
    success_rate: calculateSuccessRate(true),
    tokens_used: totalTokens,
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    api_cost_usd: estimateApiCost(totalTokens),
    model_name: "gemini-1.5-flash",
    intent_detected: detectIntent(message, "general"),
    appointment_requested: false,
    human_handoff_requested: shouldTriggerHandoff("general", message, answer),
    user_message_length: message.length,
    ai_response_length: answer.length,
    response_type: "general",
  });
  return Response.json({ answer });
}
