#!lua flags=allow-oom
-- Add what a process has counted to the sums of the deployment, and note how the process is.
--
-- ARGV: process, how it is, seconds that is believed, then for each sum: its name and what to add
-- Returns Redis's time.
-- Nothing of it is written to Redis's file: Prometheus expects counters to begin anew.
--
-- denzel:metrics            hash: sums
-- denzel:metrics:processes  hash: PROCESS to "UNTIL HOW IT IS"
-- include: clock
redis.set_repl(redis.REPL_NONE)
for i = 4, #ARGV, 2 do redis.call('HINCRBYFLOAT', 'denzel:metrics', ARGV[i], ARGV[i + 1]) end
local line = string.format('%.3f %s', now + tonumber(ARGV[3]), ARGV[2])
if redis.call('HSET', 'denzel:metrics:processes', ARGV[1], line) == 1 then
  -- There is a new process: forget those that have ended, though nobody may ever ask for figures.
  local all = redis.call('HGETALL', 'denzel:metrics:processes')
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '^[%d.]+')) < now then
      redis.call('HDEL', 'denzel:metrics:processes', all[i])
    end
  end
end
return string.format('%.6f', now)
