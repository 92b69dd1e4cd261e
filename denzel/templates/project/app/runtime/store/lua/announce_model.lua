#!lua flags=allow-oom
-- Note how a worker is with its model, for as long as it is believed.
--
-- ARGV: holder, what the names of its predecessors begin with, state, the worker's name or '', detail,
--       seconds it is believed
-- One script, so that nobody finds a worker beside the one it replaces.
-- Nothing of it is written to Redis's file: workers repeat it every few seconds.
--
-- denzel:models  hash: HOLDER to "UNTIL STATE NAME DETAIL"
-- include: clock
redis.set_repl(redis.REPL_NONE)
for _, holder in ipairs(redis.call('HKEYS', 'denzel:models')) do
  if string.sub(holder, 1, #ARGV[2]) == ARGV[2] then redis.call('HDEL', 'denzel:models', holder) end
end
local line = string.format('%.3f %s %s %s', now + tonumber(ARGV[6]), ARGV[3], ARGV[4], ARGV[5])
redis.call('HSET', 'denzel:models', ARGV[1], line)
