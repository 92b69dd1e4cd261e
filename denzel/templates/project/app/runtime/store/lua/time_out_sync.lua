#!lua flags=allow-oom
-- Give a synchronous request whose time is up a record, so that it can be asked for.
--
-- ARGV: id, owner, seconds the record lasts
-- Whoever ends the request finds the record and stores the outcome there (finish_sync.lua,
-- take.lua).  An outcome that was told before this ran has reached the API process by then, since
-- both come over one connection.
redis.set_repl(redis.REPL_NONE)
redis.call('SET', 'denzel:task:' .. ARGV[1], 'PENDING ' .. ARGV[2] .. ' 0', 'EX', ARGV[3], 'NX')
