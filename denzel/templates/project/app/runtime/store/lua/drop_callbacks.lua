#!lua flags=allow-oom
-- Forget callbacks for good; their predictions stay as long as any other's.
--
-- ARGV: seconds a result is kept; ids
-- Returns how many there were.
-- One script, so that a callback that is dropped is neither sent nor listed.
--
-- denzel:callback:ID, denzel:task:ID, denzel:callbacks:due, denzel:callbacks:failed
local count = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  redis.call('ZREM', 'denzel:callbacks:due', id)
  redis.call('ZREM', 'denzel:callbacks:failed', id)
  if redis.call('UNLINK', 'denzel:callback:' .. id) == 1 then
    redis.call('EXPIRE', 'denzel:task:' .. id, ARGV[1])
    count = count + 1
  end
end
return count
