-- Bring holds into line with what a worker has: connections that came, were lost, or were signed out (rules 3, 4, 6, 7).
-- input    for each hold: user, session, open connections (0: lost or closed, -1: signed out), last input, token's iat in
--          s, version at which it was joined before (0: not yet), "1" if a new connection came
-- returns  whether the worker was here before, then for each hold the chosen status, or "" if it may not (section 4)
local results = { was_here }
local named = '^[^~]'

local function refused(user, session, issued_at_s, joined_at)
  return issued_at_s < user.not_before or (joined_at > 0 and joined_at < user.ended)
    or (string.find(session, named) and redis.call('EXISTS', base .. ':out:' .. user.id .. ':' .. session) == 1)
end

local function join(user, session, open, active, is_new)
  local hold = find_hold(user, me, session)
  if hold then
    hold.open, hold.number = open, number
  else
    user.holds[#user.holds + 1] = { worker = me, session = session, open = open, number = number }
  end
  enter_held(user, me)
  user.fresh = user.seen and user.fresh or 1
  user.seen = true
  touch(user, active)
  settle(user, is_new and 'signed_in' or 'active')
end

local function let_go(user, session, open)
  local function mine(hold)
    return hold.worker == me and hold.session == session
  end
  if drop_holds(user, mine) > 0 then
    if open == 0 then
      forgive(user, now + grace_ms)
    end
    settle(user, open < 0 and 'signed_out' or nil)
  end
end

for i = at, #ARGV, 7 do
  local user, session, open = load(ARGV[i]), ARGV[i + 1], tonumber(ARGV[i + 2])
  local answer = ''
  if had then
    answer = find_hold(user, me, session) and user.chosen or ''
  elseif open <= 0 then
    let_go(user, session, open)
  elseif not refused(user, session, tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])) then
    join(user, session, open, tonumber(ARGV[i + 3]), ARGV[i + 6] == '1')
    answer = user.chosen
  end
  results[#results + 1] = answer
end
return had and repeated(results) or finish(results)
