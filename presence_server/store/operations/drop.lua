-- After a worker has told a team everything anew: forgive what else stands there under its name (rule 6).
-- input    number of the first write of that telling, how many users at most
-- returns  1 if there may be more
local more = 0
if not had then
  local key = base .. ':held:' .. me
  local stale = redis.call('ZRANGE', key, '-inf', '(' .. ARGV[at], 'BYSCORE', 'LIMIT', 0, ARGV[at + 1])
  for _, id in ipairs(stale) do
    local user = load(id)
    drop_holds(user, function(hold)
      return hold.worker == me and hold.number < tonumber(ARGV[at])
    end)
    enter_held(user, me)
    forgive(user, now + grace_ms)
    settle(user)
  end
  more = #stale == tonumber(ARGV[at + 1]) and 1 or 0
end
return had and repeated({ 1 }) or finish({ more })
