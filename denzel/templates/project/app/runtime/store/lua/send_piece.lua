#!lua flags=allow-oom
-- Tell a piece of a synchronous prediction to the API process whose client waits.
--
-- ARGV: id, name of the API process, the piece as a record
-- Returns 1, or 0 when the client has gone, or the process.
-- Nothing of it is written to Redis's file.
--
-- denzel:abandoned  sorted set: requests whose clients have gone; without this one afterwards
-- include: reply
redis.set_repl(redis.REPL_NONE)
if redis.call('ZREM', 'denzel:abandoned', ARGV[1]) == 1 then return 0 end
return reply(ARGV[2], {ARGV[1]}, {ARGV[3]}) > 0 and 1 or 0
