-- Read what changed after a version, in the order of versions, a page at a time (rule 9).
-- input    [version, how many at most]
-- returns  changes: [[user, version, status, since, reason, chosen], …], floor, more
local found, more = {}, false
if epoch then
  local users = redis.call('ZRANGE', changes_key, '(' .. text(input[1]), '+inf', 'BYSCORE', 'LIMIT', 0, input[2],
    'WITHSCORES')
  for i = 1, #users, 2 do
    local f = redis.call('HMGET', user_key(users[i]), 'status', 'since', 'reason', 'chosen')
    -- A key that its TTL has taken away belongs to a user who has long been offline.
    found[#found + 1] = { users[i], tonumber(users[i + 1]), f[1] or 'offline', tonumber(f[2] or now),
      f[3] or 'disconnected', f[4] or 'online' }
  end
  more = #users == 2 * input[2]
end
return cjson.encode({ now = now, epoch = epoch, version = version, tip = tip, floor = floor, idle_ms = idle_ms,
  changes = #found > 0 and found or nil, more = more })
