-- Defines reply(name, ids, records): tell an API process the outcomes its clients wait for.
--
-- denzel:reply:NAME  channel: a JSON line [["ID", bytes of the record], …], then the records
-- Returns how many processes heard it.
local function reply(name, ids, records)
  local index = {}
  for i, id in ipairs(ids) do index[i] = string.format('["%s",%d]', id, #records[i]) end
  local head = '[' .. table.concat(index, ',') .. ']\n'
  return redis.call('PUBLISH', 'denzel:reply:' .. name, head .. table.concat(records))
end

-- denzel:watchers:ID  set: API processes whose clients wait for the end of a request
local function reply_to_watchers(id, record)
  for _, name in ipairs(redis.call('SMEMBERS', 'denzel:watchers:' .. id)) do
    reply(name, {id}, {record})
  end
end
