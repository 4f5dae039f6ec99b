-- End sessions of a user in this team, at once and for good (rule 7, and DELETE of section 6).
-- input    [user, session or "" for all of them, refuse their return for ms, forced: true or false]
-- The message carries signed_out = [user, session or ""], on which every worker closes what it holds of it.
if not ready() then
  return finish_lost()
end
local user, session = load(input[1]), input[2]
local till = now + input[3]

local function refuse(name)
  user.out[name] = till
  redis.call('HSET', user_key(user.id), 'out:' .. name, text(till))
end

-- What had come to pass before is not the sign-out's doing.
settle(user)
for name, lease in pairs(user.leases) do
  local held = string.match(name, '^[^:]*:(.*)$')
  if session == '' or held == session or lease.open == 0 then
    drop_lease(user, name)
    if session == '' then
      refuse(held)
    end
  end
end
if session ~= '' then
  refuse(session)
end
if input[4] then
  user.not_before = math.floor(now / 1000)
  redis.call('HSET', user_key(user.id), 'not_before', user.not_before)
end
drop_expired_leases(user)
settle(user, input[4] and 'forced' or 'signed_out')
return finish({}, { signed_out = { input[1], session } })
