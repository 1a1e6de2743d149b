-- Counts one request of a caller in all windows of a quota, or in none of them; see src/quota/counts.rs.
-- KEYS[1]: the caller on a route. ARGV: the time, the clocks' largest difference, and what the request takes (1, or 0 to
-- ask only), then for each window its limit and its length. Times are milliseconds, and the time is the caller's: all
-- replicas and the tests have a clock.
-- Gives whether the request passes, and for each window when it closes and how many have passed.
local now, skew, take = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local windows = (#ARGV - 3) / 2
local fields = {}
for i = 1, windows do
    fields[2 * i - 1], fields[2 * i] = 'closes' .. i, 'passed' .. i
end
local kept = redis.call('HMGET', KEYS[1], unpack(fields))
local closes, passed, allowed = {}, {}, 1
for i = 1, windows do
    local limit, length = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
    closes[i], passed[i] = tonumber(kept[2 * i - 1] or 0), tonumber(kept[2 * i] or 0)
    if now >= closes[i] or closes[i] - now > length + skew then
        closes[i], passed[i] = now + length, 0
    end
    if passed[i] >= limit then
        allowed = 0
    end
end
local answer, values, last = { allowed }, {}, now
for i = 1, windows do
    passed[i] = passed[i] + allowed * take
    last = math.max(last, closes[i])
    values[4 * i - 3], values[4 * i - 2] = fields[2 * i - 1], closes[i]
    values[4 * i - 1], values[4 * i] = fields[2 * i], passed[i]
    answer[2 * i], answer[2 * i + 1] = closes[i], passed[i]
end
if allowed * take > 0 then
    redis.call('HSET', KEYS[1], unpack(values))
    redis.call('PEXPIRE', KEYS[1], last - now + skew)
end
return answer
