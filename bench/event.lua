-- Events for wrk, with all fields, as JSON. A business has one model; intents and response types are about as frequent
-- as a receptionist meets them.

local models = { "gemini-1.5-flash", "gemini-1.5-pro", "gpt-4o-mini" }
local intents = { "appointment_booking", "appointment_booking", "appointment_booking", "appointment_booking",
   "business_hours", "business_hours", "pricing", "pricing", "greeting", "complaint" }
local types = { "text", "text", "text", "text", "text", "text", "text", "appointment", "appointment", "error" }

local HEAD = '{"conversation_id":"conv-%08x'
local TAIL = '","business_id":"business-%d","session_id":"session-%08x%06x",'
   .. '"response_time_ms":%d,"success_rate":0.%02d,"tokens_used":%d,"prompt_tokens":%d,"completion_tokens":%d,'
   .. '"api_cost_usd":0.000%03d,"model_name":"%s","intent_detected":"%s","response_type":"%s",'
   .. '"appointment_requested":%s,"appointment_booked":false,"human_handoff_requested":false,'
   .. '"user_message_length":%d,"ai_response_length":%d}'

local random, format = math.random, string.format
local event = {}

-- Most answers are quick and a few are very slow.
local function response_time()
   return math.min(9000, math.floor(150 - 1500 * math.log(1 - random())))
end

-- Conversations that go on at the same time, each of six answers.
local OPEN, ANSWERS = 64, 6
local conversations = {}

local function conversation(businesses)
   local place = random(OPEN)
   local open = conversations[place]
   if not open or open.left == 0 then
      open = { left = ANSWERS, business = random(businesses),
         id = random(0, 0xffffffff), rest = format("%06x", random(0, 0xffffff)) }
      conversations[place] = open
   end
   open.left = open.left - 1
   return open
end

-- The two parts of an event with one of so many businesses, and the end of its conversation's id, which belongs between them.
function event.parts(businesses)
   local open = conversation(businesses)
   local business = open.business
   local prompt, completion = random(50, 900), random(10, 400)
   local tail = format(TAIL, business, random(0, 0xffffffff), random(0, 0xffffff), response_time(), random(50, 99),
      prompt + completion, prompt, completion, random(0, 999), models[business % 3 + 1], intents[random(10)],
      types[random(10)], random(2) == 1 and "true" or "false", random(5, 300), random(5, 300))
   return format(HEAD, open.id), tail, open.rest
end

-- The first lines of a request for `path` with the API key, up to the length of its body.
function event.request_head(path, key)
   return "POST " .. path .. " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nX-API-Key: " .. key
      .. "\r\nContent-Type: application/json\r\nContent-Length: "
end

return event
