-- Every request reports one event of its own. Takes the API key and the number of businesses as its arguments.

local event = require("event")
local threads = 0
local head, businesses

function setup(thread)
   threads = threads + 1
   thread:set("number", threads)
end

function init(args)
   math.randomseed(os.time() * 100 + number)
   businesses = tonumber(args[2])
   head = event.request_head("/track", args[1])
end

-- The whole request is put together here: wrk's own formatting would take a good part of a core.
function request()
   local first, second, rest = event.parts(businesses)
   local body = first .. rest .. second
   return head .. #body .. "\r\n\r\n" .. body
end
