#!lua flags=allow-oom
-- Find how the workers are with their models, and forget those that have not told for too long.
--
-- Returns holder and "UNTIL STATE NAME DETAIL" of each, one after the other.
-- Nothing of it is written to Redis's file.
--
-- denzel:models  hash: HOLDER to "UNTIL STATE NAME DETAIL"
-- include: clock
redis.set_repl(redis.REPL_NONE)
local all, found = redis.call('HGETALL', 'denzel:models'), {}
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^[%d.]+')) > now then
    found[#found + 1], found[#found + 2] = all[i], all[i + 1]
  else
    redis.call('HDEL', 'denzel:models', all[i])
  end
end
return found
