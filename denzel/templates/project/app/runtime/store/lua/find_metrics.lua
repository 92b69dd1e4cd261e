#!lua flags=allow-oom
-- Find the sums of the deployment, and how its processes are; forget those that have ended.
--
-- Returns two lists: names and sums, one after the other; lines on processes.
-- Nothing of it is written to Redis's file.
--
-- denzel:metrics            hash: sums
-- denzel:metrics:processes  hash: PROCESS to "UNTIL HOW IT IS"
-- include: clock
redis.set_repl(redis.REPL_NONE)
local all, living = redis.call('HGETALL', 'denzel:metrics:processes'), {}
for i = 1, #all, 2 do
  local till, line = string.match(all[i + 1], '^([%d.]+) (.*)$')
  if tonumber(till) > now then
    living[#living + 1] = line
  else
    redis.call('HDEL', 'denzel:metrics:processes', all[i])
  end
end
return {redis.call('HGETALL', 'denzel:metrics'), living}
