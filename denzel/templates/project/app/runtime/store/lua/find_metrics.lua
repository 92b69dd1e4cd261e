#!lua flags=no-writes,allow-oom
-- Find the sums of the deployment, and how its processes are.
--
-- Returns two lists: names and sums, one after the other; lines on processes.
--
-- denzel:metrics            hash: sums
-- denzel:metrics:processes  hash: PROCESS to "UNTIL HOW IT IS"
-- include: clock
local all, living = redis.call('HGETALL', 'denzel:metrics:processes'), {}
for i = 1, #all, 2 do
  local till, line = string.match(all[i + 1], '^([%d.]+) (.*)$')
  if tonumber(till) > now then living[#living + 1] = line end
end
return {redis.call('HGETALL', 'denzel:metrics'), living}
