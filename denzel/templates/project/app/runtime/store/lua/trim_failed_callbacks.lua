#!lua flags=allow-oom
-- Forget callbacks that were given up too long ago, or are too many; a hundred or two at a time.
--
-- ARGV: seconds a callback that was given up is kept; how many are kept; seconds a result is kept
-- One script, so that one that is sent again meanwhile is not forgotten.
--
-- denzel:callbacks:failed, denzel:callback:ID, denzel:task:ID
-- include: clock
-- include: trim_failed
trim_failed(now, tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
