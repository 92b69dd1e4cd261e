#!lua flags=allow-oom
-- End asynchronous requests that a worker process has predicted for.
--
-- ARGV: holder, seconds a record lasts, then for each request: id, state, body, callback URI or ''
-- Returns how many ended by this: those that were cancelled meanwhile keep their record.
-- One script, so that a request's outcome is stored and its callback queued, or neither.
--
-- denzel:held:HOLDER  no longer holds them
-- denzel:stopping:ID  a cancelled request has stopped
-- include: clock
-- include: records
-- include: end_requests
local all, ids, records, uris = {}, {}, {}, {}
for i = 3, #ARGV, 4 do all[#all + 1] = ARGV[i] end
for i, before in ipairs(mget('denzel:task:', all)) do
  if is_final(before) then
    redis.call('DEL', 'denzel:stopping:' .. all[i])
  else
    local n = #ids + 1
    ids[n], uris[n] = all[i], ARGV[4 * i + 2]
    records[n] = ARGV[4 * i] .. ' ' .. owner_of(before) .. ' ' .. ARGV[4 * i + 1]
  end
end
end_requests(ids, records, uris, ARGV[2], now)
in_chunks(all, function(...) redis.call('SREM', 'denzel:held:' .. ARGV[1], ...) end)
return #ids
