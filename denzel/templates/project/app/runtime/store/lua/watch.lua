#!lua flags=allow-oom
-- Note that an API process is to be told when a request ends.
--
-- ARGV: id, name of the API process, seconds it waits
-- One script, so that the note does not stay for good.  It lasts for whoever waits longest.
--
-- denzel:watchers:ID  set: API processes whose clients wait for the end of a request
local key = 'denzel:watchers:' .. ARGV[1]
redis.call('SADD', key, ARGV[2])
if redis.call('TTL', key) < tonumber(ARGV[3]) then redis.call('EXPIRE', key, ARGV[3]) end
