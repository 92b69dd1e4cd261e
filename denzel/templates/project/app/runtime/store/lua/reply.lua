-- Defines reply(name, ids, records): tell an API process the outcomes its clients wait for.
--
-- denzel:reply:NAME  channel: a JSON line [["ID", bytes of the record], …], then the records
-- Returns how many processes heard it.
--
-- Redis hangs up on who has much to read on a channel (client-output-buffer-limit pubsub, 32 MB).  So
-- of a record that is large, or makes a message large, is told only that the caller has stored it at
-- denzel:task:ID.
local MOST_TOLD, MOST_TOGETHER, STORED = 256 * 1024, 4 * 1024 * 1024, 'STORED - '
local function told(records)
  local shown, left = {}, MOST_TOGETHER
  for i, record in ipairs(records) do
    left = left - #record
    shown[i] = (#record > MOST_TOLD or left < 0) and STORED or record
  end
  return shown
end

local function reply(name, ids, records)
  local index = {}
  for i, id in ipairs(ids) do index[i] = string.format('["%s",%d]', id, #records[i]) end
  local head = '[' .. table.concat(index, ',') .. ']\n'
  return redis.call('PUBLISH', 'denzel:reply:' .. name, head .. table.concat(records))
end

-- denzel:watchers:ID  set: API processes whose clients wait for the end of a request
local function reply_to_watchers(id, record)
  for _, name in ipairs(redis.call('SMEMBERS', 'denzel:watchers:' .. id)) do
    reply(name, {id}, told({record}))
  end
end
