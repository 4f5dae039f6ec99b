-- Redis came back without the team, or with an older one: write a worker's roster back, leaving alone whom Redis knows.
-- Nobody flashes: whoever was there is forgiven for a lease, in which his own worker can tell of him.
-- ARGV     random word, version the worker had seen, idle timeout in ms (0: the default), grace in ms (-1: the default),
--          then for each user: user, status, since, reason, chosen
word = ARGV[1]
local began = not epoch
if began then
  begin_epoch(tonumber(ARGV[2]))
  if redis.call('EXISTS', settings_key) == 0 and (ARGV[3] ~= '0' or ARGV[4] ~= '-1') then
    set_idle_ms, set_grace_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
    idle_ms = set_idle_ms > 0 and set_idle_ms or IDLE_MS
    grace_ms = set_grace_ms >= 0 and set_grace_ms or GRACE_MS
    redis.call('HSET', settings_key, 'idle_ms', ARGV[3], 'grace_ms', ARGV[4], 'at', 0)
  end
end
for i = 5, #ARGV, 5 do
  local user = load(ARGV[i])
  if not user.seen then
    user.seen, user.fresh, user.chosen = true, 1, ARGV[i + 4]
    if ARGV[i + 1] ~= 'offline' then
      user.active = math.min(now, now - idle_ms + LEASE_MS)
      redis.call('ZADD', active_key, user.active, user.id)
      due_at(user.active + idle_ms)
      forgive(user, now + LEASE_MS)
    end
    user.status, user.since, user.reason = ARGV[i + 1], math.min(tonumber(ARGV[i + 2]), now), ARGV[i + 3]
    record(user, user.status)
    settle(user)
  elseif user.fresh == 1 and user.chosen ~= ARGV[i + 4] then
    -- He came in by a worker that had no roster, before anyone could say what he had chosen.
    user.chosen = ARGV[i + 4]
    settle(user, 'signed_in', true)
  end
end
return finish({}, began and '"restored":true' or nil)
