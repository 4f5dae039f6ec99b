-- The rule of section 2, applied when something has happened to a user, and what is told of it.

local published = {}
local overdue  -- in a sweep: why a deadline takes a visible user offline, nil if none does; see deadlines.lua

-- No input is ever in the future.
local function touch(user, at)
  at = math.min(tonumber(at), now)
  if user.status ~= 'offline' then
    inputs[user.id] = math.max(at, inputs[user.id] or 0)
  elseif at > tonumber(user.active) then
    user.active = at
  end
end

local function last_active(user)
  local shown = user.status ~= 'offline' and call('ZSCORE', active_key, user.id)
  return math.max(tonumber(shown or user.active), inputs[user.id] or 0)
end

-- Every change gets a version of its own, and goes out with the script's one message.
local function record(user, status, reason)
  local before = user.status
  if status ~= before then
    if before == 'offline' then
      inputs[user.id] = tonumber(user.active)
    elseif status == 'offline' then
      user.active, inputs[user.id] = last_active(user), nil
    end
    user.status, user.since, user.reason = status, now_text, reason
  end
  version = version + 1
  user.version = version .. ''
  put(changes_key, user.version, user.id)
  published[#published + 1] = '["' .. user.id .. '",' .. user.version .. ',"' .. before .. '","' .. status .. '",'
    .. user.since .. ',"' .. user.reason .. '","' .. user.chosen .. '",'
    .. (told_by and '"' .. told_by .. '"]' or 'null]')
end

-- `cause` is the reason to give if he appears or changes colour, or leaves by signing out. `rechosen` says that the
-- choice itself changed, which his own connections must learn even if nobody sees a difference. Only a sweep takes
-- somebody offline by a deadline: others do not know what there still is to tell.
local function settle(user, cause, rechosen)
  -- Who is offline already is not brought back by a grace that is over.
  local held = user.held ~= '' or user.grace > (user.status == 'offline' and now or 0)
  local status, reason = user.status, nil
  if user.status == 'offline' then
    if held and user.active + idle_ms > now then
      status, reason = user.chosen, cause or 'settings'
    end
  else
    local late = overdue and overdue(user)
    if late or not held then
      status, reason = 'offline', late or (cause == 'signed_out' or cause == 'forced') and cause or 'disconnected'
    else
      status, reason = user.chosen, cause or 'settings'
    end
  end
  if status == user.status and held and user.since == '0' then
    -- Who is idle when he first comes in is offline since then.
    user.since, user.reason = now_text, user.active + idle_ms <= tonumber(settings_at) and 'settings' or 'idle'
    rechosen = true
  end
  -- Who is here must be among the changes, even if he was forgotten and is still idle.
  if status ~= user.status or rechosen or (held and user.version == '0') then
    record(user, status, reason)
  end
  -- A grace that is over holds nobody; of who is visible by it alone, a sweep has to say so.
  if user.grace <= now and (status == 'offline' or user.held ~= '') then
    user.grace = 0
  end
  user.dirty = true
end
