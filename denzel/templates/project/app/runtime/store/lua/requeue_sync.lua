#!lua flags=allow-oom
-- Put synchronous requests that this worker holds back on their queue, before all others.
--
-- ARGV: holder, number of requests, ids, messages (the one to be taken first comes last)
-- One script, so that a request is either on its queue or held.
-- Nothing of it is written to Redis's file.
--
-- predictions.sync         list: Celery messages of synchronous requests
-- denzel:held.sync:HOLDER  no longer holds them
-- include: chunks
-- include: notify
redis.set_repl(redis.REPL_NONE)
local count, ids, queued = tonumber(ARGV[2]), {}, {}
for i = 1, count do ids[i], queued[i] = ARGV[2 + i], ARGV[2 + count + i] end
in_chunks(ids, function(...) redis.call('SREM', 'denzel:held.sync:' .. ARGV[1], ...) end)
local before = redis.call('LLEN', 'predictions.sync')
in_chunks(queued, function(...) redis.call('RPUSH', 'predictions.sync', ...) end)
notify(before, before + count, 1)
