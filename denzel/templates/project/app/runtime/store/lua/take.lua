#!lua flags=allow-oom
-- Take the next batch of requests off a queue for a worker process, and note who holds them.
--
-- ARGV: holder, most requests, most bytes of payloads, seconds a request may wait for a fuller
--       batch, seconds a prediction takes, largest payload to return, free processes,
--       queue to look at first, seconds a revoked record lasts
-- Returns nothing when both queues are empty; {'wait', seconds} while a fuller batch is waited
-- for; else {queue, {what was skipped}, requests, how many queues hold more}.  There may be no
-- requests.  A synchronous one is its message; an asynchronous one its message, how often it was
-- begun, and its stored request ('' for a large one).
-- One script, so that a request is either on a queue or held.
--
-- A synchronous request that its client no longer waits for, or will not when it is predicted, is
-- dropped: REVOKED.  One that has half its time left is begun all the same: how long predictions
-- took says little of the next, and if all were dropped, nothing would ever be measured again.
-- An asynchronous one that is not PENDING any more was cancelled.  One marked alone was in a
-- process that died, and gets a process to itself.
--
-- predictions, predictions.sync  lists of Celery messages
-- denzel:held:HOLDER             set: asynchronous requests a worker holds
-- denzel:held.sync:HOLDER        set: synchronous ones; not written to Redis's file
-- denzel:abandoned               sorted set: synchronous requests whose clients have gone
-- include: clock
-- include: chunks
-- include: messages
-- include: records
local holder, most, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local longest_wait, needed, largest = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local free, revoked_seconds = tonumber(ARGV[7]), ARGV[9]
local SYNC, ASYNC = 'predictions.sync', 'predictions'
local NOT_BEGUN = '{"args":["nobody waited for it any more"],"type":"TaskRevokedError"}'
local LOOKS = 1000  -- messages looked at in vain before others get their turn at Redis

local function wait_for_more(queue, length)
  if longest_wait <= 0 or length >= most then return 0 end
  local oldest = redis.call('LINDEX', queue, -1)
  if not message_id(oldest) or is_alone(oldest) then return 0 end
  -- Whatever the settings say, its client gets an answer: half the time is for the prediction.
  local longest = math.min(longest_wait, (timeout_and_bytes(oldest) or math.huge) / 2)
  return math.min(longest, message_sent(oldest) + longest - now)
end

-- What of a message that is none of ours the log is to show.
local function shown(message)
  local task = string.match(message, '"task": ?"([^"]+)"')
  return (task and 'task ' .. task .. ', ' or '') .. string.sub(message, 1, 300)
end

local function put_back(queue, messages, first)
  local left = {}
  for i = #messages, first, -1 do left[#left + 1] = messages[i] end
  in_chunks(left, function(...) redis.call('RPUSH', queue, ...) end)
end

-- Takes messages as long as fits; begin(id, message) returns the payload's bytes, nil to drop it.
local function take(queue, count, begin)
  local skipped, bytes, number, looks = {}, 0, 0, 0
  while number < count and looks < LOOKS do
    local messages = redis.call('RPOP', queue, count - number)
    if not messages then break end
    for i, message in ipairs(messages) do
      local id, alone = message_id(message), is_alone(message)
      if not id then
        looks = looks + 1
        skipped[#skipped + 1] = shown(message)
      elseif number > 0 and (alone or bytes >= most_bytes) then
        put_back(queue, messages, i)
        return skipped
      else
        local size = begin(id, message)
        looks = looks + (size and 0 or 1)
        number, bytes = number + (size and 1 or 0), bytes + (size or 0)
        if size and alone then
          put_back(queue, messages, i + 1)
          return skipped
        end
      end
    end
  end
  return skipped
end

local function take_sync(count)
  redis.set_repl(redis.REPL_NONE)
  local some_abandoned = redis.call('EXISTS', 'denzel:abandoned') == 1
  local requests, ids = {}, {}
  local skipped = take(SYNC, count, function(id, message)
    local timeout, bytes = timeout_and_bytes(message)
    local is_late = timeout
      and message_sent(message) + timeout < now + math.min(needed, timeout / 2)
    if is_late or some_abandoned and redis.call('ZREM', 'denzel:abandoned', id) == 1 then
      local record = redis.call('GET', 'denzel:task:' .. id)
      local owner = string.match(string.sub(message, 81, 300), '"owner":"([^"]*)"') or '-'
      if not record or not is_final(record) then
        redis.call('SET', 'denzel:task:' .. id, 'REVOKED ' .. owner .. ' ' .. NOT_BEGUN,
          'EX', revoked_seconds)
      end
      redis.call('UNLINK', 'denzel:payload:' .. id)
      return nil
    end
    requests[#requests + 1], ids[#ids + 1] = message, id
    return bytes or #message
  end)
  in_chunks(ids, function(...) redis.call('SADD', 'denzel:held.sync:' .. holder, ...) end)
  return skipped, requests
end

local function take_async(count)
  local requests, ids, states = {}, {}, {}
  local skipped = take(ASYNC, count, function(id, message)
    local record = redis.call('GET', 'denzel:task:' .. id)
    if not record or state_of(record) ~= 'PENDING' then return nil end
    local key, n = 'denzel:request:' .. id, #requests
    local size, deliveries = redis.call('STRLEN', key), deliveries_of(record) + 1
    requests[n + 1], requests[n + 2] = message, deliveries
    requests[n + 3] = size <= largest and redis.call('GET', key) or ''
    ids[#ids + 1], states[#states + 1] = id, 'denzel:task:' .. id
    states[#states + 1] = string.format(
      'STARTED %s [%d,%.3f,"%s"]', owner_of(record), deliveries, now, holder)
    return size
  end)
  in_chunks(states, function(...) redis.call('MSET', ...) end)
  in_chunks(ids, function(...) redis.call('SADD', 'denzel:held:' .. holder, ...) end)
  return skipped, requests
end

local soonest
for _, queue in ipairs({ARGV[8], ARGV[8] == SYNC and ASYNC or SYNC}) do
  local length = redis.call('LLEN', queue)
  if length > 0 then
    local wait = wait_for_more(queue, length)
    if wait <= 0 then
      -- What waits is shared among the processes that are free.
      local count = math.min(most, math.ceil(length / free))
      local skipped, requests = (queue == SYNC and take_sync or take_async)(count)
      return {queue, skipped, requests, redis.call('EXISTS', SYNC, ASYNC)}
    end
    soonest = math.min(soonest or wait, wait)
  end
end
if soonest then return {'wait', tostring(soonest)} end
