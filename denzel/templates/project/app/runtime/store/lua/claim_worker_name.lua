#!lua flags=allow-oom
-- Claim a name for a worker: the one that its place had before, else the one with the number it
-- prefers, else the first that is free.
--
-- ARGV: holder, what the holders of its place begin with, what the names begin with, what they end
--       with, preferred number, seconds the claim lasts, most names in use (0: as many as it takes)
-- Returns the name, such as worker@iris or worker-2@iris; false if as many as that are in use.
-- One script, so that no two workers claim the same name.
--
-- denzel:worker.names  hash: NAME to "UNTIL HOLDER"; a claim that has ended says who had it last
-- include: clock
local places, untils = {}, {}
local all = redis.call('HGETALL', 'denzel:worker.names')
for i = 1, #all, 2 do
  local ends, holder = string.match(all[i + 1], '^(%S+) (.*)$')
  untils[all[i]] = tonumber(ends)
  places[all[i]] = string.sub(holder, 1, #ARGV[2])
end
local function name_of(number)
  return ARGV[3] .. (number > 1 and '-' .. number or '') .. ARGV[4]
end
local function claim(name)
  local line = string.format('%.3f %s', now + tonumber(ARGV[6]), ARGV[1])
  redis.call('HSET', 'denzel:worker.names', name, line)
  return name
end
local function is_free(number)
  local ends = untils[name_of(number)]
  return not ends or ends <= now
end
local first = tonumber(ARGV[5])
for name, place in pairs(places) do
  if place == ARGV[2] then return claim(name) end
end
if not is_free(first) then
  first = 1
  while not is_free(first) do first = first + 1 end
end
if tonumber(ARGV[7]) > 0 and first > tonumber(ARGV[7]) then return false end
return claim(name_of(first))
