#!lua flags=allow-oom
-- Find where requests stand.
--
-- ARGV: minutes that answered outcomes are kept, ids
-- Returns a record for each id, false for an unknown one; 'STORED - ' for what is too large for a
-- connection that listens (reply.lua).
--
-- denzel:task:ID, denzel:answered:MINUTE
-- include: clock
-- include: chunks
-- include: reply
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local found = mget('denzel:task:', ids)
local minute, left = math.floor(now / 60), MOST_TOGETHER
for i, id in ipairs(ids) do
  local ago, record = 0, found[i] or ''
  left = left - #record
  if #record > MOST_TOLD or left < 0 and record ~= '' then found[i] = STORED end
  while not found[i] and ago <= tonumber(ARGV[1]) do
    found[i] = redis.call('HGET', 'denzel:answered:' .. (minute - ago), id)
    ago = ago + 1
  end
end
return found
