#!lua flags=allow-oom
-- Find where requests stand.
--
-- ARGV: minutes that answered outcomes are kept, ids
-- Returns a record for each id, false for an unknown one.
--
-- denzel:task:ID, denzel:answered:MINUTE
-- include: clock
-- include: chunks
local ids = {}
for i = 2, #ARGV do ids[i - 1] = ARGV[i] end
local found = mget('denzel:task:', ids)
local minute = math.floor(now / 60)
for i, id in ipairs(ids) do
  local ago = 0
  while not found[i] and ago <= tonumber(ARGV[1]) do
    found[i] = redis.call('HGET', 'denzel:answered:' .. (minute - ago), id)
    ago = ago + 1
  end
end
return found
