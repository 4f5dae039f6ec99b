-- Taking holds away from users, where they are more than the one that a worker tells of.

-- Takes away the holds for which `which(worker, number, session)` is true, and writes down the lowest number that is left
-- of each of their workers, and of `worker`.
local function drop_holds(user, which, worker)
  local kept, lowest, workers = '', {}, { [worker] = true }
  for name, session, open, written in string.gmatch(user.held, ',"([^"]*)","([^"]*)",(%d+),(%d+)') do
    if which(name, tonumber(written), session) then
      workers[name] = true
    else
      kept = kept .. ',"' .. name .. '","' .. session .. '",' .. open .. ',' .. written
      lowest[name] = math.min(lowest[name] or math.huge, tonumber(written))
    end
  end
  user.held = kept
  for name in pairs(workers) do
    if lowest[name] then
      put(base .. ':held:' .. name, lowest[name], user.id)
    else
      call('ZREM', base .. ':held:' .. name, user.id)
    end
  end
end

-- Takes away those that a worker has from before a number, and forgives them until an instant, 0 for not at all. Lost
-- connections of a user are forgiven together, until the last of their graces ends.
local function forgive_below(user, worker, below, till)
  drop_holds(user, function(name, written)
    return name == worker and written < below
  end, worker)
  user.grace = math.max(user.grace, till)
  settle(user)
end
