-- Note that nobody waits for a synchronous request any more.
--
-- ARGV: id, seconds it is remembered
-- denzel:abandoned  sorted set: requests that need not be predicted if they were not begun yet, by
--                   the time they were abandoned; those that had been begun are forgotten later
-- include: clock
redis.set_repl(redis.REPL_NONE)
redis.call('ZREMRANGEBYSCORE', 'denzel:abandoned', '-inf', now - tonumber(ARGV[2]))
redis.call('ZADD', 'denzel:abandoned', now, ARGV[1])
redis.call('EXPIRE', 'denzel:abandoned', ARGV[2])
