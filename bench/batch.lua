-- Every request reports a batch of events of its own. Takes the API key, the number of businesses, and the number of
-- events in a batch as its arguments.

local event = require("event")
local threads, requests = 0, 0
local batches = {}
local head

-- Different batches that a thread has; they are reported again and again, each time of other conversations.
local PREPARED = 20

function setup(thread)
   threads = threads + 1
   thread:set("number", threads)
end

-- The texts between the ends of the conversations' ids.
local function batch(businesses, events)
   local texts, last = {}, '{"events":['
   for position = 1, events do
      local first, second = event.parts(businesses)
      texts[position] = last .. first
      last = second .. ","
   end
   texts[events + 1] = last:sub(1, -2) .. "]}"
   return texts
end

function init(args)
   math.randomseed(os.time() * 100 + number)
   for position = 1, PREPARED do
      batches[position] = batch(tonumber(args[2]), tonumber(args[3]))
   end
   head = event.request_head("/track/batch", args[1])
end

-- Formatting hundreds of events here would take the service's time, so that they are formatted before.
function request()
   requests = requests + 1
   local ending = string.format("%02x%06x", number, requests)
   local body = table.concat(batches[requests % PREPARED + 1], ending)
   return head .. #body .. "\r\n\r\n" .. body
end
