-- Defines redis_time(): seconds since the epoch by Redis's clock, the one clock that all processes
-- share.
local function redis_time()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end
