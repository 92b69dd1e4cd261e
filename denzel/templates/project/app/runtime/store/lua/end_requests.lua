-- Defines end_requests(ids, records, uris, lifetime, now): store final records of asynchronous
-- requests, queue their callbacks, and tell those who wait.
--
-- denzel:task:ID     a record whose callback is still to be delivered does not expire
-- denzel:request:ID  no longer needed
-- include: chunks
-- include: queue_callback
-- include: reply
local function end_requests(ids, records, uris, lifetime, now)
  for i, id in ipairs(ids) do
    if uris[i] == '' then
      redis.call('SET', 'denzel:task:' .. id, records[i], 'EX', lifetime)
    else
      redis.call('SET', 'denzel:task:' .. id, records[i])
      queue_callback(id, uris[i], now)
    end
  end
  in_chunks(with_prefix('denzel:request:', ids), function(...) redis.call('UNLINK', ...) end)
  local watched = 0
  in_chunks(with_prefix('denzel:watchers:', ids), function(...)
    watched = watched + redis.call('EXISTS', ...)
  end)
  if watched == 0 then return end
  for i, id in ipairs(ids) do reply_to_watchers(id, records[i]) end
end
