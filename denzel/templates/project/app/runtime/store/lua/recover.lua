#!lua flags=allow-oom
-- Put back what dead workers held: those whose lease has ended, and earlier ones of this place.
--
-- ARGV: holder, what the names of its predecessors begin with ('' for none), most requests to put
--       back, rest of a message
-- Returns how many asynchronous requests were put back, how many synchronous ones were lost.
-- One script, so that two workers do not put back the same requests.
--
-- denzel:workers          sorted set: holders, by the time their lease ends
-- denzel:held:HOLDER      set: what it held, which goes back on the queue
-- denzel:held.sync:HOLDER set: what it held, which is lost (lose_sync.lua)
-- include: clock
-- include: chunks
-- include: messages
-- include: records
-- include: notify
-- include: requeue_requests
-- include: lose_sync
local dead = redis.call('ZRANGEBYSCORE', 'denzel:workers', '-inf', now, 'LIMIT', 0, 100)
if ARGV[2] ~= '' then
  for _, holder in ipairs(redis.call('ZRANGE', 'denzel:workers', 0, -1)) do
    if holder ~= ARGV[1] and string.sub(holder, 1, #ARGV[2]) == ARGV[2] then
      dead[#dead + 1] = holder
    end
  end
end
local left, requeued, lost = tonumber(ARGV[3]), 0, 0
for _, holder in ipairs(dead) do
  if holder ~= ARGV[1] then
    local sync = redis.call('SMEMBERS', 'denzel:held.sync:' .. holder)
    lose_sync(sync)
    redis.call('DEL', 'denzel:held.sync:' .. holder)
    lost = lost + #sync
    local ids = redis.call('SRANDMEMBER', 'denzel:held:' .. holder, left)
    requeued = requeued + requeue_requests(holder, ids, now, ARGV[4], true)
    left = left - #ids
    if redis.call('EXISTS', 'denzel:held:' .. holder) == 0 then
      redis.call('ZREM', 'denzel:workers', holder)
    end
    if left <= 0 then break end
  end
end
return {requeued, lost}
