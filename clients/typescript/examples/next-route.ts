// app/api/chat/route.ts
import { createClient } from "@mlops-service/client";
import { after } from "next/server";

const client = createClient({ url: process.env.MLOPS_SERVICE_URL ?? "http://localhost:5001" });

export async function POST(request: Request) {
  const begin = Date.now();
  const { message } = await request.json();
  const answer = `You said: ${message}`; // Your model answers here.
  client.track({ business_id: "acme", response_time_ms: Date.now() - begin, tokens_used: 42 });
  after(() => client.flush());
  return Response.json({ answer });
}
