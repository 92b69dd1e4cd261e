-- Defines how a request's record is read and written (store/codecs.py): state, owner, body.
--
-- denzel:task:ID  'PENDING OWNER DELIVERIES', 'STARTED OWNER [DELIVERIES,SECONDS,"HOLDER"]',
--                 or a final state with its result: 'SUCCESS OWNER {…}'
-- A record that is gone was final, and has expired.
local function is_final(record)
  return not record or string.find(record, '^SUCCESS') or string.find(record, '^FAILURE')
    or string.find(record, '^REVOKED')
end

local function state_of(record) return string.match(record, '^%S+') end
local function owner_of(record) return string.match(record, '^%S+ (%S+)') end
local function deliveries_of(record) return tonumber(string.match(record, '^%S+ %S+ %[?(%d+)')) or 0 end
local function holder_of(record) return string.match(record, '"([^"]*)"%]$') end
