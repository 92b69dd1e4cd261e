#!lua flags=allow-oom
-- Tell the outcomes of synchronous requests to the API processes whose clients wait.
--
-- ARGV: holder, seconds an outcome is kept, most bytes of one that is kept although its client has
--       got it, most of these a minute, number of large payloads, their ids;
--       then for each API process: its name, number of outcomes, and for each id and record
-- Nothing of it is written to Redis's file.
--
-- denzel:task:ID           the client's time was up: the outcome is stored here; so is, for a moment,
--                          one that is too large to be told
-- denzel:answered:MINUTE   hash: small outcomes that were answered, by id
-- denzel:held.sync:HOLDER  no longer holds them
-- include: clock
-- include: chunks
-- include: reply
redis.set_repl(redis.REPL_NONE)
local READ_SECONDS = 60  -- in which the API process reads a large one, which it then removes
local lifetime, largest, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local at = 6 + tonumber(ARGV[5])
for i = 6, at - 1 do redis.call('UNLINK', 'denzel:payload:' .. ARGV[i]) end

local all, kept = {}, {}
while at <= #ARGV do
  local ids, records = {}, {}
  for i = 1, tonumber(ARGV[at + 1]) do
    ids[i], records[i] = ARGV[at + 2 * i], ARGV[at + 2 * i + 1]
    all[#all + 1] = ids[i]
  end
  local shown = told(records)
  local heard = reply(ARGV[at], ids, shown)
  local timed_out = mget('denzel:task:', ids)
  for i, id in ipairs(ids) do
    if timed_out[i] or heard == 0 then
      redis.call('SET', 'denzel:task:' .. id, records[i], 'EX', lifetime)
      reply_to_watchers(id, records[i])
    elseif shown[i] ~= records[i] then
      redis.call('SET', 'denzel:task:' .. id, records[i], 'EX', READ_SECONDS)
    elseif #records[i] <= largest then
      kept[#kept + 1], kept[#kept + 2] = id, records[i]
    end
  end
  at = at + 2 + 2 * #ids
end
in_chunks(all, function(...) redis.call('SREM', 'denzel:held.sync:' .. ARGV[1], ...) end)

local key = 'denzel:answered:' .. math.floor(now / 60)
if #kept > 0 and redis.call('HLEN', key) < most then
  in_chunks(kept, function(...) redis.call('HSET', key, ...) end)
  redis.call('EXPIRE', key, lifetime + 60)
end
