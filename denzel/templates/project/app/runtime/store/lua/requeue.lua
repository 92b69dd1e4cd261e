#!lua flags=allow-oom
-- Put asynchronous requests that this worker holds back on the queue, before all others.
--
-- ARGV: holder, 1 if they were begun (else that delivery does not count), rest of a message, ids
-- Returns how many were put back: not those that have ended.
-- One script, so that a request is either on the queue or held.
-- include: clock
-- include: chunks
-- include: messages
-- include: records
-- include: notify
-- include: requeue_requests
local ids = {}
for i = 4, #ARGV do ids[#ids + 1] = ARGV[i] end
return requeue_requests(ARGV[1], ids, now, ARGV[3], ARGV[2] == '1')
