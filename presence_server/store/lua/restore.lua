-- Redis came back without the team, or with an older one: write a worker's roster back, leaving alone whom Redis knows.
-- Nobody flashes: whoever was there gets a lease of one LEASE_TTL, in which his own worker can restate the real one.
-- input    [[[user, status, since, reason, chosen], …], version the worker had seen, idle timeout in ms of the team, or 0]
local began = not epoch
if began then
  begin_epoch(input[2])
end
if input[3] > 0 and not settings[1] then
  idle_ms = input[3]
  redis.call('HSET', settings_key, 'idle_ms', text(idle_ms), 'at', 0)
end
for _, entry in ipairs(input[1]) do
  local user = load(entry[1])
  if not user.seen then
    user.status, user.since, user.reason, user.chosen = entry[2], entry[3], entry[4], entry[5]
    if user.status ~= 'offline' then
      user.active = math.min(now, now - idle_ms + config.lease_ms)
    end
    create(user, 1)
    if user.status ~= 'offline' then
      set_lease(user, 'orphan:restored', now + config.lease_ms, 0)
    end
    record(user)
    settle(user)
  elseif user.fresh == 1 and user.chosen ~= entry[5] then
    -- He came in by a worker that had no roster, before anyone could say what he had chosen.
    user.chosen = entry[5]
    redis.call('HSET', user_key(user.id), 'chosen', user.chosen)
    settle(user, 'signed_in', true)
  end
end
return finish({}, began and { restored = true } or nil)
