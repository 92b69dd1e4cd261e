-- Defines requeue_requests(holder, ids, now, rest, is_begun): put asynchronous requests that a
-- worker holds before all others on the queue; returns how many were put there.
--
-- rest is the rest of a message, with or without the mark that it shall be predicted alone;
-- a delivery that is not begun does not count.
-- denzel:held:HOLDER, denzel:task:ID, predictions
local function requeue_requests(holder, ids, now, rest, is_begun)
  local queued, states, sent = {}, {}, time_sent(now)
  for i, record in ipairs(mget('denzel:task:', ids)) do
    if not is_final(record) then
      local deliveries = deliveries_of(record) - (is_begun and 0 or 1)
      states[#states + 1] = 'denzel:task:' .. ids[i]
      states[#states + 1] = string.format('PENDING %s %d', owner_of(record), math.max(0, deliveries))
      table.insert(queued, 1, message_for(ids[i], sent, rest))
    end
  end
  in_chunks(states, function(...) redis.call('MSET', ...) end)
  local before = redis.call('LLEN', 'predictions')
  in_chunks(queued, function(...) redis.call('RPUSH', 'predictions', ...) end)
  in_chunks(ids, function(...) redis.call('SREM', 'denzel:held:' .. holder, ...) end)
  if #queued > 0 then notify(before, before + #queued, 1) end
  return #queued
end
