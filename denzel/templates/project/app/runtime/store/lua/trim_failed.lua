-- Defines trim_failed(now, failed_ttl, failed_max, result_ttl): forget callbacks that were given up
-- too long ago, then the oldest of those that are too many; some at a time.
--
-- A prediction is kept for as long as one without a callback.
local function forget_failed(id, now, result_ttl)
  local key, task = 'denzel:callback:' .. id, 'denzel:task:' .. id
  local left = (tonumber(redis.call('HGET', key, 'since')) or 0) + result_ttl - now
  redis.call('ZREM', 'denzel:callbacks:failed', id)
  redis.call('UNLINK', key)
  if left > 0 then
    redis.call('EXPIRE', task, math.ceil(left))
  else
    redis.call('UNLINK', task)
  end
end

local function trim_failed(now, failed_ttl, failed_max, result_ttl)
  local failed, some = 'denzel:callbacks:failed', 100
  local old = redis.call('ZRANGEBYSCORE', failed, '-inf', now - failed_ttl, 'LIMIT', 0, some)
  for _, id in ipairs(old) do forget_failed(id, now, result_ttl) end
  local excess = math.min(redis.call('ZCARD', failed) - failed_max, some)
  if excess <= 0 then return end
  for _, id in ipairs(redis.call('ZRANGE', failed, 0, excess - 1)) do
    forget_failed(id, now, result_ttl)
  end
end
