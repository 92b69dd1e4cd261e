-- Note that nobody waits for a synchronous request any more.
--
-- ARGV: id, seconds it is remembered
-- denzel:abandoned  set: requests that need not be predicted if they were not begun yet
redis.set_repl(redis.REPL_NONE)
redis.call('SADD', 'denzel:abandoned', ARGV[1])
redis.call('EXPIRE', 'denzel:abandoned', ARGV[2])
