#!lua flags=allow-oom
-- Find how much there is to do.
--
-- Returns pairs of name and number; ages are in seconds.
-- One script, so that what has left a queue is counted as held.
--
-- predictions, predictions.sync                              lists of Celery messages
-- denzel:held:HOLDER, denzel:held.sync:HOLDER                sets: what the workers hold
-- denzel:callbacks:due, denzel:callbacks:failed              sorted sets of callbacks
-- denzel:callbacks:crowded, denzel:callbacks:waiting:R       receivers, and what waits for each
-- denzel:workers                                             sorted set of holders
-- include: clock
-- include: messages
local found = {'now', string.format('%.6f', now)}
local function add(name, value)
  found[#found + 1], found[#found + 2] = name, tostring(value)
end
for kind, names in pairs({sync = {'predictions.sync', '.sync:'}, async = {'predictions', ':'}}) do
  local oldest, held = redis.call('LINDEX', names[1], -1), 0
  add(kind .. '_queued', redis.call('LLEN', names[1]))
  local age = oldest and message_id(oldest) and now - message_sent(oldest) or 0
  add(kind .. '_oldest', string.format('%.3f', math.max(0, age)))
  for _, holder in ipairs(redis.call('ZRANGE', 'denzel:workers', 0, -1)) do
    held = held + redis.call('SCARD', 'denzel:held' .. names[2] .. holder)
  end
  add(kind .. '_held', held)
end
local parked = 0
for _, receiver in ipairs(redis.call('SMEMBERS', 'denzel:callbacks:crowded')) do
  parked = parked + redis.call('LLEN', 'denzel:callbacks:waiting:' .. receiver)
end
add('callbacks_pending', redis.call('ZCARD', 'denzel:callbacks:due'))
add('callbacks_crowded', parked)
add('callbacks_failed', redis.call('ZCARD', 'denzel:callbacks:failed'))
return found
