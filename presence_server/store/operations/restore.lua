-- Redis came back without the team, or with an older one: write a worker's roster back, leaving alone whom Redis knows.
-- Nobody flashes: whoever was there is forgiven for a lease, in which his own worker can tell of him.
-- ARGV     random word, version the worker had seen, idle timeout in ms (0: the default), grace in ms (-1: the default),
--          then for each user: user, status, since, reason, chosen, version of his last change as the worker has it
word = ARGV[1]
local began = not epoch
if began then
  epoch, tip, previous_tip = word, word, word
  version, previous, floor = tonumber(ARGV[2]), ARGV[2], ARGV[2]
end
-- Whatever has been set stays, even the default; a worker that had no roster may have begun the team without.
local configured = call('EXISTS', settings_key) == 0 and (ARGV[3] ~= '0' or ARGV[4] ~= '-1')
if configured then
  set_idle_ms, set_grace_ms = ARGV[3], ARGV[4]
  idle_ms = set_idle_ms == '0' and IDLE_MS or tonumber(set_idle_ms)
  grace_ms = set_grace_ms == '-1' and GRACE_MS or tonumber(set_grace_ms)
  call('HSET', settings_key, 'idle_ms', set_idle_ms, 'grace_ms', set_grace_ms, 'at', 0)
  deadline = math.min(deadline, now)
end
for i = 5, #ARGV, 6 do
  local user, at = load(ARGV[i]), tonumber(ARGV[i + 5])
  local fresh = tonumber(user.fresh)
  if user.chosen == '' then
    user.fresh, user.chosen = at + 1, ARGV[i + 4]
    if ARGV[i + 1] ~= 'offline' then
      user.active = math.min(now, now - idle_ms + LEASE_MS)
      inputs[user.id] = user.active
      user.grace = math.max(user.grace, now + LEASE_MS)
    end
    user.status, user.since, user.reason = ARGV[i + 1], math.min(tonumber(ARGV[i + 2]), now), ARGV[i + 3]
    record(user, user.status)
    settle(user)
  elseif fresh > 0 and at >= fresh and user.chosen ~= ARGV[i + 4] then
    -- He came in by a worker that had no roster, or was written back by one that had been cut off and knew less.
    user.chosen, user.fresh = ARGV[i + 4], at + 1
    settle(user, 'signed_in', true)
  elseif configured then
    settle(user)
  end
end
return finish({}, began and '"restored":true' or configured and '"idle_ms":' .. idle_ms or nil)
