// On an edge runtime the key is given by hand, and the host runs on until the events are sent.
import { createClient } from "@mlops-service/client";

let client;

export default {
  async fetch(request, env, context) {
    const begin = Date.now();
    const answer = `You asked for ${new URL(request.url).pathname}`;
    client ??= createClient({ url: env.MLOPS_SERVICE_URL, apiKey: env.MLOPS_API_KEY });
    client.track({ business_id: "acme", response_time_ms: Date.now() - begin, tokens_used: 42 });
    context.waitUntil(client.flush());
    return new Response(answer);
  },
};
