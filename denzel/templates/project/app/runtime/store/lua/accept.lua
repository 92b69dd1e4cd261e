-- Accept asynchronous requests: store them and put them on the queue, as many as there is room for.
--
-- ARGV: most that may be queued, size of a full batch, rest of a message,
--       then for each request: id, owner, stored request (callback URI, line end, payload)
-- Returns how many were accepted, the first of them.
-- One script, so that a request is either on the queue with its record or was never there.
--
-- predictions        list: Celery messages of asynchronous requests
-- denzel:request:ID  string: the stored request
-- denzel:task:ID     string: its record
-- include: clock
-- include: chunks
-- include: messages
-- include: notify
local before = redis.call('LLEN', 'predictions')
local count = math.max(0, math.min((#ARGV - 3) / 3, tonumber(ARGV[1]) - before))
local values, queued, sent = {}, {}, time_sent(now)
for i = 1, count do
  local id, owner, n = ARGV[3 * i + 1], ARGV[3 * i + 2], #values
  values[n + 1], values[n + 2] = 'denzel:request:' .. id, ARGV[3 * i + 3]
  values[n + 3], values[n + 4] = 'denzel:task:' .. id, 'PENDING ' .. owner .. ' 0'
  queued[i] = message_for(id, sent, ARGV[3])
end
in_chunks(values, function(...) redis.call('MSET', ...) end)
in_chunks(queued, function(...) redis.call('LPUSH', 'predictions', ...) end)
if count > 0 then notify(before, before + count, tonumber(ARGV[2])) end
return count
