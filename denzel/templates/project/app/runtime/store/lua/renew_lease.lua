#!lua flags=allow-oom
-- Renew a worker's lease on all that it holds.
--
-- ARGV: holder, seconds the lease lasts
-- Returns the asynchronous and the synchronous requests that it holds by Redis's account.
--
-- denzel:workers  sorted set: holders, by the time their lease ends
-- include: clock
redis.call('ZADD', 'denzel:workers', now + tonumber(ARGV[2]), ARGV[1])
return {
  redis.call('SMEMBERS', 'denzel:held:' .. ARGV[1]),
  redis.call('SMEMBERS', 'denzel:held.sync:' .. ARGV[1]),
}
