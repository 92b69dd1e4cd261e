-- Defines how a message on a queue is read and made without parsing JSON (store/messages.py).
--
-- {"headers":{"id":"<36 characters>","sent":<17 characters>,"alone":true,"timeout":5.0,…
-- alone, timeout and bytes are optional and stand within the first 200 characters.
local function message_id(message)  -- nil for what is none of ours
  if string.sub(message, 1, 18) ~= '{"headers":{"id":"' then return nil end
  if string.sub(message, 55, 63) ~= '","sent":' then return nil end
  return string.sub(message, 19, 54)
end

local function message_sent(message) return tonumber(string.sub(message, 64, 80)) or 0 end
local function is_alone(message) return string.sub(message, 81, 93) == ',"alone":true' end

local function message_number(message, name)
  return tonumber(string.match(string.sub(message, 81, 200), '"' .. name .. '":([%d.]+)'))
end

local function stamped(message, seconds)
  return string.sub(message, 1, 63) .. string.format('%017.6f', seconds) .. string.sub(message, 81)
end

-- rest is what follows the time in every message for an asynchronous request.
local function message_for(id, seconds, rest)
  return '{"headers":{"id":"' .. id .. string.format('","sent":%017.6f', seconds) .. rest
end
