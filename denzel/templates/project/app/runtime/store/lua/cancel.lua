#!lua flags=allow-oom
-- Cancel a request: one that is queued is never begun, one that is running is stopped if allowed.
--
-- ARGV: id, owner, seconds a record lasts, the result of a cancelled one, 1 if a running one may be
--       stopped, seconds a worker is asked for that
-- Returns '' for an unknown id (another's, too), REVOKED, or why not and the state, separated by a
-- space: 'ended', 'running', 'synchronous'.
-- One script, so that it is not begun meanwhile.
--
-- denzel:stop:HOLDER  list: requests a worker shall stop
-- denzel:stopping:ID  string: the worker that shall stop it; gone when it need not be
-- include: clock
-- include: records
-- include: end_requests
local id = ARGV[1]
local record = redis.call('GET', 'denzel:task:' .. id)
if not record or owner_of(record) ~= ARGV[2] then return '' end
local state = state_of(record)
if is_final(record) then return 'ended ' .. state end
local stored = redis.call('GET', 'denzel:request:' .. id)
if not stored then return 'synchronous ' .. state end
if state == 'STARTED' then
  local holder = holder_of(record)
  if ARGV[5] ~= '1' or not holder then return 'running ' .. state end
  redis.call('SET', 'denzel:stopping:' .. id, holder, 'EX', ARGV[6])
  redis.call('RPUSH', 'denzel:stop:' .. holder, id)
  redis.call('EXPIRE', 'denzel:stop:' .. holder, ARGV[6])
end
local uri = cjson.decode(string.match(stored, '^[^\n]*'))
local revoked = 'REVOKED ' .. ARGV[2] .. ' ' .. ARGV[4]
end_requests({id}, {revoked}, {type(uri) == 'string' and uri or ''}, ARGV[3], now)
return 'REVOKED'
