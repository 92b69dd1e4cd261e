#!lua flags=allow-oom
-- Send callbacks again from now on, each with a new retry period.
--
-- ARGV: ids
-- Returns how many there were.
-- One script, so that no callback expires between being looked at and being kept.
--
-- denzel:callback:ID, denzel:task:ID, denzel:callbacks:due, denzel:callbacks:failed
-- denzel:callbacks:wake:N  channel: wakes the callbacks service
-- include: clock
local count = 0
for _, id in ipairs(ARGV) do
  local key, task = 'denzel:callback:' .. id, 'denzel:task:' .. id
  if redis.call('EXISTS', key, task) == 2 then
    redis.call('PERSIST', key)
    redis.call('PERSIST', task)
    redis.call('HSET', key, 'state', 'PENDING', 'attempts', 0, 'since', now)
    redis.call('HDEL', key, 'next_at', 'expires_at')
    redis.call('ZREM', 'denzel:callbacks:failed', id)
    -- One that waits for a crowded receiver keeps its place.
    if redis.call('ZSCORE', 'denzel:callbacks:due', id) ~= 'inf' then
      redis.call('ZADD', 'denzel:callbacks:due', now, id)
    end
    count = count + 1
  end
end
redis.call('PUBLISH', 'denzel:callbacks:wake:' .. KEYS[1], '')
return count
