-- Look at the users whose deadline has come, again by the rule: of several workers the first one finds them (rule 10).
-- input    [how many at most]
-- returns  lag_ms: how long the latest of those that changed was due; seen: how many were due; more: whether others are
local lag, seen, more = 0, 0, false
if epoch then
  local due = redis.call('ZRANGE', deadlines_key, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, input[1], 'WITHSCORES')
  for i = 1, #due, 2 do
    local user = load(due[i])
    local before = version
    settle(user)
    drop_expired_leases(user)
    if version > before then
      lag = math.max(lag, now - tonumber(due[i + 1]))
    elseif user.status == 'offline' and forget_at(user, held_until(user)) <= now then
      redis.call('ZREM', changes_key, user.id)
      redis.call('ZREM', deadlines_key, user.id)
      redis.call('HSET', user_key(user.id), 'version', 0)
      floor = math.max(floor, user.version)
      redis.call('HSET', meta_key, 'floor', text(floor))
    end
  end
  local deadline = first_deadline()
  if deadline then
    look_at(math.min(deadline, now + config.lease_ms))
  else
    redis.call('HDEL', meta_key, 'look')
  end
  seen = #due / 2
  more = seen == input[1]
end
return finish({ lag_ms = lag, seen = seen, more = more })
