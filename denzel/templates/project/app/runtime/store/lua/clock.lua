-- Defines now: seconds since the epoch by Redis's clock, so that no process's clock counts.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
