-- Renew leases in bulk and tell newer input (rules 4 and 9). Never creates a lease.
-- input    [[user, session, open connections, idle for ms, or -1 for no news], …]
-- returns  gone: [[index from 0, "expired" or "signed_out"], …] of the leases that were not there any more
if not ready() then
  return finish_lost()
end
local gone = {}
for i, entry in ipairs(input) do
  local user, name = load(entry[1]), config.worker .. ':' .. entry[2]
  local lease = user.leases[name]
  if refused(user, entry[2]) then
    gone[#gone + 1] = { i - 1, 'signed_out' }
  elseif lease == nil or lease_ends(lease) <= now then
    gone[#gone + 1] = { i - 1, 'expired' }
  else
    local newer = entry[4] >= 0 and touch(user, entry[4])
    set_lease(user, name, now + config.lease_ms, entry[3])
    settle(user, newer and 'active' or nil)
  end
end
return finish({ gone = #gone > 0 and gone or nil })
