#!lua flags=allow-oom
-- Claim the next callbacks that wait for a receiver.
--
-- ARGV: receiver; length of the claim in seconds; how many at most
-- Returns whether more wait (1 or 0), Redis's time, then what claim_callbacks returns.
-- One script, so that a callback is always either due at a time or in a waiting list.
--
-- denzel:callbacks:waiting:RECEIVER, denzel:callbacks:crowded, denzel:callbacks:due,
-- denzel:callback:ID
-- include: clock
-- include: claim_callbacks
local waiting = 'denzel:callbacks:waiting:' .. ARGV[1]
local ids = {}
for _, id in ipairs(redis.call('LPOP', waiting, ARGV[3]) or {}) do
  -- Any other score: it was dropped, or dropped and queued anew.
  if redis.call('ZSCORE', 'denzel:callbacks:due', id) == 'inf' then ids[#ids + 1] = id end
end
local more = redis.call('EXISTS', waiting)
if more == 0 then redis.call('SREM', 'denzel:callbacks:crowded', ARGV[1]) end
return {more, string.format('%.6f', now), unpack(claim_callbacks(ids, now, tonumber(ARGV[2])))}
