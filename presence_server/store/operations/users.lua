-- Users are loaded when they are asked for, and written back together at the end, as they then are: what differs from
-- what was stored goes out with one command for each key, whatever happened on the way.
--
-- Every function here is made anew whenever a script runs, which takes half as long as a read of Redis: so there are few.

local users = {}  -- loaded, in order, and by id
local scores = {}  -- by key, the arguments of its ZADD
local values = {}  -- the arguments of the MSET
local inputs = {}  -- user -> instant of his last input
local deadline = math.huge  -- the earliest that this script has set: the index has to know

-- `held` is the text of his holds; `dirty`: he is to be written back.
local function load(id)
  local user = users[id]
  if user then
    return user
  end
  local raw = call('GET', base .. ':user:' .. id)
  if raw then
    local chosen, status, since, reason, active, not_before, at, ended, fresh, grace, ends, held = string.match(raw,
      '^%["([^"]*)","([^"]*)",(%d+),"([^"]*)",(%d+),(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)(.*)%]$')
    user = { id = id, chosen = chosen, status = status, since = since, reason = reason, active = active,
      not_before = not_before, version = at, ended = ended, fresh = fresh, grace = tonumber(grace), ends = ends,
      held = held, stored_status = status, stored_held = held, dirty = false }
  else
    user = { id = id, chosen = '', status = 'offline', since = '0', reason = '', active = '0', not_before = '0',
      version = '0', ended = '0', fresh = '0', grace = 0, ends = '0', held = '', stored_status = 'offline',
      stored_held = '', dirty = false }
  end
  users[#users + 1], users[id] = user, user
  return user
end

local function put(key, score, member)
  local list = scores[key]
  if not list then
    -- The newest input wins, in whatever order workers learn of it (rule 4).
    list = key == active_key and { key, 'GT' } or { key }
    scores[key] = list
  end
  local size = #list
  list[size + 1], list[size + 2] = score, member
end

-- Sets when to look at him: for idling, and for anything else. An offline user stays among the changes for a while, so
-- that those who were away can be told; then he is forgotten, unless he is held: there new settings must find him.
local function schedule(user)
  local id, input, ends = user.id, inputs[user.id], 0
  if input then
    put(active_key, input, id)
    if user.stored_status == 'offline' then
      deadline = math.min(deadline, input + idle_ms)
    end
  elseif user.status == 'offline' and user.stored_status ~= 'offline' then
    call('ZREM', active_key, id)
  end
  if user.held == '' then
    if user.status ~= 'offline' then
      ends = user.grace
    elseif user.version ~= '0' then
      ends = math.max(tonumber(user.since), user.grace) + RETAIN_MS
    end
  end
  if ends ~= tonumber(user.ends) then
    user.ends = ends
    if ends == 0 then
      call('ZREM', ends_key, id)
    else
      put(ends_key, ends, id)
      deadline = math.min(deadline, ends)
    end
  end
end

-- Values wait for the team's own; see finish.lua.
local function commit()
  for _, user in ipairs(users) do
    if user.dirty then
      schedule(user)
      local key, value = base .. ':user:' .. user.id, '["' .. user.chosen .. '","' .. user.status .. '",' .. user.since
        .. ',"' .. user.reason .. '",' .. user.active .. ',' .. user.not_before .. ',' .. user.version .. ','
        .. user.ended .. ',' .. user.fresh .. ',' .. user.grace .. ',' .. user.ends .. user.held .. ']'
      -- Who is held has no TTL: nothing would move it while he does nothing. A sweep or a leave gives him one.
      if user.held ~= '' or user.grace > now then
        local size = #values
        values[size + 1], values[size + 2] = key, value
      else
        call('SET', key, value, 'PX', REMEMBER_MS)
      end
    end
  end
  for _, list in pairs(scores) do
    call('ZADD', unpack(list))
  end
  users, scores, inputs = {}, {}, {}
end
