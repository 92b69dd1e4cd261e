-- Defines notify(before, after, batch_size): tell idle workers that there is something to take.
--
-- denzel:work:N  channel: workers are notified when a queue is no longer empty, and when it holds
--              enough for a full batch, which a worker may be waiting for
local function notify(before, after, batch_size)
  if before == 0 or (before < batch_size and after >= batch_size) then
    redis.call('PUBLISH', 'denzel:work:' .. KEYS[1], '')
  end
end
