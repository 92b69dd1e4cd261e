#!lua flags=allow-oom
-- Renew a worker's claim on its name, unless another worker has the name by now.
--
-- ARGV: name, holder, seconds the claim lasts from now on; 0 ends it
-- Returns whether the worker has it.
-- Nothing of it is written to Redis's file: workers repeat it every few seconds.
--
-- denzel:worker.names  hash: NAME to "UNTIL HOLDER"
-- include: clock
redis.set_repl(redis.REPL_NONE)
local claimed = redis.call('HGET', 'denzel:worker.names', ARGV[1])
if claimed then
  local ends, holder = string.match(claimed, '^(%S+) (.*)$')
  if holder ~= ARGV[2] and tonumber(ends) > now then return 0 end
end
local line = string.format('%.6f %s', now + tonumber(ARGV[3]), ARGV[2])
redis.call('HSET', 'denzel:worker.names', ARGV[1], line)
return 1
