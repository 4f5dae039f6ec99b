-- Bring holds into line with what a worker has: connections that came, were lost, or were signed out (rules 3, 4, 6, 7).
-- input    for each hold: user, session, open connections (0: lost or closed, -1: signed out), last input, token's iat in
--          s, version at which it was joined before (0: not yet), "1" if a new connection came
-- returns  whether the worker was here before, then for each hold the chosen status, or "" if it may not (section 4)
local results = { was_here }

-- Hardly ever is any of them refused: so all are asked about at once first.
local outs = {}
for i = at, had and 0 or #ARGV, 7 do
  if ARGV[i + 2] ~= '0' and ARGV[i + 2] ~= '-1' then
    outs[#outs + 1] = base .. ':out:' .. ARGV[i] .. ':' .. ARGV[i + 1]
  end
end
local any_out = outs[1] and call('EXISTS', unpack(outs)) > 0

local function refused(user, session, issued_at_s, joined_at)
  return issued_at_s < tonumber(user.not_before) or (joined_at > 0 and joined_at < tonumber(user.ended))
    or any_out and call('EXISTS', base .. ':out:' .. user.id .. ':' .. session) == 1
end

for i = at, #ARGV, 7 do
  local user, session, open, answer = load(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ''
  local hold, others = ',"' .. me .. '","' .. session .. '",', user.held
  local from, to = string.find(others, hold, 1, true)
  if from then
    others = string.sub(others, 1, from - 1) .. string.match(others, '^%d+,%d+(.*)', to + 1)
  end
  if had then
    answer = from and user.chosen or ''
  elseif open == '0' or open == '-1' then
    if user.chosen ~= '' then
      local cause = 'active'
      if from then
        user.held = others
        if open == '0' then
          -- Lost connections of a user are forgiven together, until the last of their graces ends.
          user.grace = math.max(user.grace, now + grace_ms)
        elseif user.status ~= 'offline' then
          cause = 'signed_out'
        end
      end
      if open == '0' or user.held ~= '' then
        -- Nobody is left to tell of input that was not owed yet: his other connections need it (rule 4).
        touch(user, ARGV[i + 3])
      end
      settle(user, cause)
    end
  elseif not refused(user, session, tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5])) then
    user.held = others .. hold .. open .. ',' .. ARGV[5]
    if user.chosen == '' then
      user.chosen, user.fresh = 'online', '1'
    end
    touch(user, ARGV[i + 3])
    settle(user, ARGV[i + 6] == '1' and 'signed_in' or 'active')
    answer = user.chosen
  end
  results[#results + 1] = answer
end

-- The lowest number that the worker has on each of them now.
local key, mine = base .. ':held:' .. me, ',"' .. me .. '",'
for _, user in ipairs(users) do
  if user.held ~= user.stored_held then
    local lowest = ARGV[5]
    if string.find(user.stored_held, mine, 1, true) then
      for worker, written in string.gmatch(user.held, ',"([^"]*)","[^"]*",%d+,(%d+)') do
        lowest = worker == me and math.min(lowest, written) or lowest
      end
    end
    if string.find(user.held, mine, 1, true) then
      put(key, lowest, user.id)
    else
      call('ZREM', key, user.id)
    end
  end
end
return finish(results)
