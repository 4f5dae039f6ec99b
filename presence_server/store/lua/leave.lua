-- Connections were lost or closed without logout: what is left of a session on a worker, forgiven if nothing (rule 6).
-- input    [[user, session, open connections left], …]
if lost() then
  return finish_lost()
end
if epoch then
  for _, entry in ipairs(input) do
    local user, name = load(entry[1]), config.worker .. ':' .. entry[2]
    local lease = user.leases[name]
    -- A lease that has run out is not brought back to life by learning late how it ended.
    if lease and lease_ends(lease) > now then
      if entry[3] > 0 then
        set_lease(user, name, lease.expires, entry[3])
      elseif lease.open > 0 then
        set_lease(user, name, now + config.grace_ms, 0)
      end
      settle(user)
    end
  end
end
return finish({})
