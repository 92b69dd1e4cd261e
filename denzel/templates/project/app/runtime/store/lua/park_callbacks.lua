#!lua flags=allow-oom
-- Let claimed callbacks wait for receivers that are crowded, behind those that wait already.
--
-- ARGV: id and receiver in turn
-- One script, so that a callback is always either due at a time or in a waiting list.
--
-- denzel:callbacks:due (their score becomes infinite: they are not taken by time),
-- denzel:callbacks:waiting:RECEIVER, denzel:callbacks:crowded
for i = 1, #ARGV, 2 do
  local id, receiver = ARGV[i], ARGV[i + 1]
  local due = redis.call('ZSCORE', 'denzel:callbacks:due', id)
  if due and due ~= 'inf' then  -- neither dropped nor parked meanwhile
    redis.call('ZADD', 'denzel:callbacks:due', 'inf', id)
    if redis.call('RPUSH', 'denzel:callbacks:waiting:' .. receiver, id) == 1 then
      redis.call('SADD', 'denzel:callbacks:crowded', receiver)
    end
  end
end
