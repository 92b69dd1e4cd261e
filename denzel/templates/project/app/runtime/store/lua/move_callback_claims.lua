#!lua flags=allow-oom
-- Let claims on callbacks end some seconds from now: renew them, or give them back.
--
-- ARGV: seconds; ids
-- One script, so that one that was dropped, delivered or parked meanwhile does not come back.
--
-- denzel:callbacks:due
-- include: clock
local ends = now + tonumber(ARGV[1])
for i = 2, #ARGV do
  local due = redis.call('ZSCORE', 'denzel:callbacks:due', ARGV[i])
  if due and due ~= 'inf' then redis.call('ZADD', 'denzel:callbacks:due', ends, ARGV[i]) end
end
