#!lua flags=allow-oom
-- Record what attempts at callbacks came to.
--
-- ARGV: seconds a callback that was given up is kept; how many are kept; seconds a result is kept;
--       then for each its id, state (PENDING, DELIVERED or FAILED), seconds until the next attempt
--       if PENDING, attempts made, HTTP status or '', error or ''
-- One script, so that an attempt that outlived its claim cannot undo that another one delivered it.
--
-- denzel:callback:ID, denzel:task:ID, denzel:callbacks:due, denzel:callbacks:failed
-- include: clock
-- include: trim_failed
local failed_ttl, failed_max, result_ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function delivered(id, key)
  redis.call('ZREM', 'denzel:callbacks:due', id)
  redis.call('EXPIRE', key, result_ttl)
  redis.call('EXPIRE', 'denzel:task:' .. id, result_ttl)
end

local function postpone(id, key, delay)
  redis.call('HSET', key, 'next_at', now + delay)
  redis.call('ZADD', 'denzel:callbacks:due', now + delay, id)
end

local function give_up(id, key)
  local since = tonumber(redis.call('HGET', key, 'since')) or now
  local lifetime = math.max(failed_ttl, since + result_ttl - now)
  redis.call('ZREM', 'denzel:callbacks:due', id)
  redis.call('HSET', key, 'expires_at', now + failed_ttl)
  redis.call('ZADD', 'denzel:callbacks:failed', now, id)
  redis.call('EXPIRE', key, failed_ttl)
  redis.call('EXPIRE', 'denzel:task:' .. id, math.ceil(lifetime))
end

for i = 4, #ARGV, 6 do
  local id, state, delay = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local key = 'denzel:callback:' .. id
  local before = redis.call('HGET', key, 'state')
  redis.call('ZREM', 'denzel:callbacks:failed', id)
  if not before or before == 'DELIVERED' then  -- dropped or delivered meanwhile
    redis.call('ZREM', 'denzel:callbacks:due', id)
  else
    redis.call('HDEL', key, 'next_at', 'expires_at')
    redis.call('HSET', key, 'state', state, 'attempts', ARGV[i + 3], 'last_at', now,
      'last_status', ARGV[i + 4], 'last_error', ARGV[i + 5])
    if state == 'DELIVERED' then
      delivered(id, key)
    elseif state == 'PENDING' then
      postpone(id, key, delay)
    else
      give_up(id, key)
    end
  end
end
trim_failed(now, failed_ttl, failed_max, result_ttl)
