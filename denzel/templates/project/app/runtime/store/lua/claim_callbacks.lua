-- Defines claim_callbacks(ids, now, seconds): claim these callbacks for some seconds.
--
-- Returns id, URI, attempts made and `since` of each in turn.  One that was dropped or delivered
-- leaves the set of what is due.
local function claim_callbacks(ids, now, seconds)
  local claimed, claims = {}, {}
  for _, id in ipairs(ids) do
    local note = redis.call('HMGET', 'denzel:callback:' .. id, 'uri', 'attempts', 'since', 'state')
    if not note[1] or note[4] == 'DELIVERED' then
      redis.call('ZREM', 'denzel:callbacks:due', id)
    else
      local n = #claimed
      claimed[n + 1], claimed[n + 2], claimed[n + 3], claimed[n + 4] = id, note[1], note[2], note[3]
      claims[#claims + 1] = now + seconds
      claims[#claims + 1] = id
    end
  end
  if #claims > 0 then redis.call('ZADD', 'denzel:callbacks:due', unpack(claims)) end
  return claimed
end
