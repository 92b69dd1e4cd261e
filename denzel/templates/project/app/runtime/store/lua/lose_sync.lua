-- Defines lose_sync(ids): tell that synchronous requests are lost that a worker held.
--
-- Those whose clients still wait are sent again by their API processes.  One whose client's time is
-- up has a record, and nobody sends it again: it fails.
--
-- denzel:lost:N   channel: ids of synchronous requests, separated by spaces
-- denzel:task:ID  of one whose client's time is up
-- include: chunks
-- include: records
-- include: reply
local function lose_sync(ids)
  if #ids == 0 then return end
  redis.call('PUBLISH', 'denzel:lost:' .. KEYS[1], table.concat(ids, ' '))
  local body = '{"args":["the worker died during the prediction"],"type":"WorkerLostError"}'
  for i, record in ipairs(mget('denzel:task:', ids)) do
    if not is_final(record) then
      local failed = 'FAILURE ' .. owner_of(record) .. ' ' .. body
      redis.call('SET', 'denzel:task:' .. ids[i], failed, 'KEEPTTL')
      reply_to_watchers(ids[i], failed)
    end
  end
end
