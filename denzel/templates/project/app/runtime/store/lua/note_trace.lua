-- Note the span under which a request was asked for, for as long as it may be predicted.
--
-- ARGV: id, its traceparent, seconds to keep it
-- denzel:trace:ID  string: the traceparent; not written to Redis's file, nothing depends on it
redis.set_repl(redis.REPL_NONE)
redis.call('SET', 'denzel:trace:' .. ARGV[1], ARGV[2], 'EX', ARGV[3])
