-- Note that nobody waits for a synchronous request any more.
--
-- ARGV: id, seconds its client would have waited for it yet
-- One whose client's time was up has a record, in which its outcome can be asked for: it goes on.
-- denzel:abandoned  sorted set: requests that need not be predicted if they were not begun yet, by
--                   the time from which they are too late anyway (take.lua)
-- include: clock
redis.set_repl(redis.REPL_NONE)
if redis.call('EXISTS', 'denzel:task:' .. ARGV[1]) == 1 then return end
redis.call('ZREMRANGEBYSCORE', 'denzel:abandoned', '-inf', now)
redis.call('ZADD', 'denzel:abandoned', now + tonumber(ARGV[2]), ARGV[1])
local seconds = math.ceil(ARGV[2])
if redis.call('TTL', 'denzel:abandoned') < seconds then
  redis.call('EXPIRE', 'denzel:abandoned', seconds)
end
