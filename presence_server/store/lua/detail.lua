-- Read all about some users (section 6).
-- input    [user, …]
-- returns  users: per entry false when never seen, or [status, since, reason, chosen, active, open connections,
--          held until, idle at]
local users = {}
for i, id in ipairs(input) do
  local user = load(id)
  users[i] = false
  if user.seen then
    local open = 0
    for _, lease in pairs(user.leases) do
      if lease_ends(lease) > now then
        open = open + lease.open
      end
    end
    users[i] = { user.status, user.since, user.reason, user.chosen, user.active, open, held_until(user), idle_at(user) }
  end
end
return cjson.encode({ now = now, epoch = epoch, version = version, tip = tip, idle_ms = idle_ms, users = users })
