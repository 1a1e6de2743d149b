// A route handler of Next.js: app/api/chat/route.js. Next.js runs what `after` is given once the answer is sent.
import { createClient } from "@mlops-service/client";
import { after } from "next/server";

const client = createClient({ url: process.env.MLOPS_SERVICE_URL ?? "http://localhost:5001" });

export async function POST(request) {
  const begin = Date.now();
  const { message } = await request.json();
  const answer = `You said: ${message}`;
  client.track({
    business_id: "acme",
    response_time_ms: Date.now() - begin,
    tokens_used: 42,
    user_message_length: message.length,
    ai_response_length: answer.length,
  });
  after(() => client.flush());
  return Response.json({ answer });
}
