-- Defines queue_callback(id, uri, now): queue the callback of a request that has ended.
--
-- denzel:callback:ID     hash: where the callback goes, and what became of it
-- denzel:callbacks:due   sorted set: callbacks to deliver, by the time of the next attempt
-- denzel:callbacks:wake:N  channel: wakes the callbacks service (unlike a list, it is not written
--                        to Redis's file)
-- now: seconds since the epoch by Redis's clock
local function queue_callback(id, uri, now)
  redis.call('HSET', 'denzel:callback:' .. id, 'uri', uri, 'state', 'PENDING',
    'attempts', 0, 'since', now)
  redis.call('ZADD', 'denzel:callbacks:due', now, id)
  redis.call('PUBLISH', 'denzel:callbacks:wake:' .. KEYS[1], '')
end
