-- Put synchronous requests on their queue.
--
-- ARGV: size of a full batch, number of large payloads, for each of these: id, seconds it is kept
--       and payload; then for each request: id, and what follows the time in its message
-- Nothing of it is written to Redis's file, so that no client waits for a disk: should Redis end,
-- the API sends again what its clients still wait for (api/dispatch.py).
--
-- predictions.sync   list: Celery messages of synchronous requests
-- denzel:payload:ID  string: a payload too large for a message
-- include: clock
-- include: chunks
-- include: messages
-- include: notify
redis.set_repl(redis.REPL_NONE)
local large = tonumber(ARGV[2])
for i = 0, large - 1 do
  redis.call('SET', 'denzel:payload:' .. ARGV[3 * i + 3], ARGV[3 * i + 5], 'EX', ARGV[3 * i + 4])
end
local queued, sent = {}, time_sent(now)
for i = 3 + 3 * large, #ARGV, 2 do
  queued[#queued + 1] = message_for(ARGV[i], sent, ARGV[i + 1])
end
local before = redis.call('LLEN', 'predictions.sync')
in_chunks(queued, function(...) redis.call('LPUSH', 'predictions.sync', ...) end)
notify(before, before + #queued, tonumber(ARGV[1]))
