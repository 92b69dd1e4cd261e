-- Defines how a message on a queue is read and made without parsing JSON (store/messages.py).
--
-- {"headers":{"id":"<36 characters>","sent":<17 characters>,"alone":true,"timeout":5.0,"bytes":99,…
-- alone is optional; timeout and bytes are in synchronous requests' messages alone.
local function message_id(message)  -- nil for what is none of ours
  local id = string.match(message, '^{"headers":{"id":"([0-9a-f-]+)","sent":')
  return id and #id == 36 and id or nil
end

local function message_sent(message) return tonumber(string.sub(message, 64, 80)) or 0 end
local function is_alone(message) return string.sub(message, 81, 93) == ',"alone":true' end

-- Returns a synchronous request's timeout and the size of its payload, nil for others.
local function timeout_and_bytes(message)
  local timeout, bytes = string.match(
    message, '^,"timeout":([%d.]+),"bytes":(%d+)', is_alone(message) and 94 or 81)
  return tonumber(timeout), tonumber(bytes)
end

-- Returns what stands between id and rest of messages sent at this time.
local function time_sent(seconds) return string.format('","sent":%017.6f', seconds) end
local function message_for(id, sent, rest) return '{"headers":{"id":"' .. id .. sent .. rest end
