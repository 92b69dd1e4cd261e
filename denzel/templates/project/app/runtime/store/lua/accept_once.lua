-- Accept an asynchronous request unless its Idempotency-Key stands for one already.
--
-- ARGV: most that may be queued, size of a full batch, rest of a message, id, owner,
--       stored request, digest of the key, digest of the body, seconds the key is remembered
-- Returns {verdict, id}: 'new', 'known' (the key stands for this id), 'reused' (with another
-- body), 'expired' (the record of this id is gone: accept it again under this id) or 'full'.
-- One script, so that of two requests with one key only one is accepted.
--
-- denzel:idempotency:DIGEST  string: id and digest of the body
-- include: clock
-- include: messages
-- include: notify
local id = ARGV[4]
local key = 'denzel:idempotency:' .. ARGV[7]
local claim = redis.call('GET', key)
if claim then
  local known, digest = string.match(claim, '^(%S+) (%S+)$')
  if digest ~= ARGV[8] then return {'reused', known} end
  if redis.call('EXISTS', 'denzel:task:' .. known) == 1 then
    -- A write, so that replicas are waited for that may not have the request yet.
    redis.call('PEXPIRE', key, math.max(1, redis.call('PTTL', key)))
    return {'known', known}
  end
  if known ~= id then return {'expired', known} end
end
local before = redis.call('LLEN', 'predictions')
if before >= tonumber(ARGV[1]) then return {'full', id} end
redis.call('SET', key, id .. ' ' .. ARGV[8], 'EX', ARGV[9])
redis.call('SET', 'denzel:request:' .. id, ARGV[6])
redis.call('SET', 'denzel:task:' .. id, 'PENDING ' .. ARGV[5] .. ' 0')
redis.call('LPUSH', 'predictions', message_for(id, time_sent(now), ARGV[3]))
notify(before, before + 1, tonumber(ARGV[2]))
return {'new', id}
