-- Bring connections in: create or restate the leases of sessions on a worker (rules 3, 4 and 6).
-- input    [[user, session, open connections, idle for ms, token's iat in s], …]
-- returns  joined: per entry the chosen status, or false when the session is refused (section 4)
if not ready() then
  return finish_lost()
end
local joined = {}
for i, entry in ipairs(input) do
  local user = load(entry[1])
  if refused(user, entry[2]) or entry[5] < user.not_before then
    joined[i] = false
  else
    if not user.seen then
      create(user, 1)
    end
    touch(user, entry[4])
    drop_expired_leases(user)
    local name = config.worker .. ':' .. entry[2]
    -- Restated after an outage rather than joined by one more connection: then only input can have brought him back.
    local restated = user.leases[name] and user.leases[name].open >= entry[3]
    set_lease(user, name, now + config.lease_ms, entry[3])
    settle(user, restated and 'active' or 'signed_in')
    joined[i] = user.chosen
  end
end
return finish({ joined = joined })
