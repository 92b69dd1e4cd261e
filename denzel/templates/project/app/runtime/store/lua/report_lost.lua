#!lua flags=allow-oom
-- Tell that this worker has lost synchronous requests it held.
--
-- ARGV: holder, ids
-- One script, so that a request is either held or told of as lost.
--
-- denzel:held.sync:HOLDER  no longer holds them
-- include: lose_sync
redis.set_repl(redis.REPL_NONE)
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
in_chunks(ids, function(...) redis.call('SREM', 'denzel:held.sync:' .. ARGV[1], ...) end)
lose_sync(ids)
