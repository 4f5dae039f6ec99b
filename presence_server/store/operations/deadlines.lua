-- Deadlines that have come, which sweeps alone look at, and the intervals in which nobody swept.

local gaps = {}  -- { from, until } in order

local function read_gaps(from)
  for i = from, #ARGV, 2 do
    gaps[#gaps + 1] = { tonumber(ARGV[i]), tonumber(ARGV[i + 1]) }
  end
end

-- An instant inside an interval in which nobody swept counts from the interval's end: who would have moved it could not.
-- One put off may fall into the next.
local function put_off(instant, rest, by)
  for _, gap in ipairs(rest) do
    if instant > gap[1] and instant <= gap[2] then
      instant = gap[2] + by
    end
  end
  return instant
end

function overdue(user)
  local idles_at = last_active(user) + idle_ms
  local idle = put_off(idles_at, gaps, math.floor(LEASE_MS / 3)) <= now
  local held = user.held ~= '' or put_off(user.grace, gaps, LEASE_MS) > now
  -- If both are so, the earlier deadline gives the reason (rule 1).
  if idle and (held or idles_at <= math.max(user.grace, user.held_until or 0)) then
    -- A deadline that had already passed when the timeout was set is the setting's doing.
    return idles_at <= tonumber(settings_at) and 'settings' or 'idle'
  end
  return not held and 'disconnected' or nil
end

-- What was done so far is in Redis then, to be looked at.
local function store()
  commit()
  if values[1] then
    call('MSET', unpack(values))
    values = {}
  end
end
