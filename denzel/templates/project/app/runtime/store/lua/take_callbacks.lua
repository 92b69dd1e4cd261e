#!lua flags=allow-oom
-- Claim callbacks that are due: half of them those that are due for the shortest time, half those
-- that are for the longest.  So a new one does not wait for thousands that are due again.
--
-- ARGV: length of the claim in seconds; how many at most (some hundreds: unpack has a limit)
-- Returns Redis's time, then what claim_callbacks returns.
-- One script, so that no two services take the same callback.
--
-- denzel:callbacks:due, denzel:callback:ID
-- include: clock
-- include: claim_callbacks
local due, half = 'denzel:callbacks:due', math.ceil(ARGV[2] / 2)
local ids = redis.call('ZREVRANGEBYSCORE', due, now, '-inf', 'LIMIT', 0, half)
local is_new = {}
for _, id in ipairs(ids) do is_new[id] = true end
if #ids == half then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, half)) do
    if not is_new[id] then ids[#ids + 1] = id end
  end
end
return {string.format('%.6f', now), unpack(claim_callbacks(ids, now, tonumber(ARGV[1])))}
