-- What every script of a team begins with: its state, the rule, and the one way to publish.
--
-- KEYS[1]  the team's base, <prefix>:{<team>}; every key of the team is this plus a suffix, so all share its slot:
--            :mark           string  JSON array: epoch, version, tip, floor, idle_ms (0: default), grace_ms (-1: default),
--                                    settings_at (when the timeout was set), look (until when the index of due teams
--                                    lets nobody look), then for each worker: name, last number, left (0, or since when
--                                    nobody of it is here). One plain GET is the whole audit of a team
--            :settings       hash    idle_ms, grace_ms, at; without TTL, it is configuration
--            :user:<id>      string  JSON array: chosen ("" when never seen), status, since, reason, active (as of when he
--                                    was last offline), not_before, version (0: not among the changes), ended (version of
--                                    the last sign-out of all sessions), fresh (1: the choice is still the default),
--                                    grace (until when lost connections are forgiven; 0: none), ends (his score in :ends;
--                                    0: none), then for each hold: worker, session, open connections, number of the write
--            :out:<id>:<s>   string  stands while a session is refused in this team
--            :changes        zset    user -> version of his last change: "what changed since" is a range
--            :active         zset    who is visible -> his last input; with the idle timeout added, his deadline
--            :ends           zset    user -> when to look at him for anything else: his grace, or that he can be forgotten
--            :held:<worker>  zset    user -> lowest number among the holds that the worker has on him
--            :feed:<db>      channel
--
-- Bound when the script is loaded: LEASE_MS, GRACE_MS, REMEMBER_MS, IDLE_MS, RETAIN_MS (offline users in :changes),
-- PUBLISH (the command) and FEED (the channel's suffix). Times are milliseconds by Redis's clock.

local base = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local mark_key, settings_key = base .. ':mark', base .. ':settings'
local changes_key, active_key, ends_key = base .. ':changes', base .. ':active', base .. ':ends'

-- What is stored holds no character that JSON would escape, and no number beyond 14 digits: patterns and concatenation
-- read and write it several times faster than cjson does.
local MARK = '^%["([^"]*)",(%d+),"([^"]*)",(%d+),(%d+),(%-?%d+),(%d+),(%d+)(.*)%]$'
local FENCE = ',"([^"]*)",(%d+),(%d+)'
local USER = '^%["([^"]*)","([^"]*)",(%d+),"([^"]*)",(%d+),(%d+),(%d+),(%d+),(%d+),(%d+),(%d+)(.*)%]$'
local HOLD = ',"([^"]*)","([^"]*)",(%d+),(%d+)'

local epoch, version, tip, floor, set_idle_ms, set_grace_ms, settings_at, look, there =
  string.match(redis.call('GET', mark_key) or '', MARK)
if not epoch then
  local set = redis.call('HMGET', settings_key, 'idle_ms', 'grace_ms', 'at')
  version, tip, floor, set_idle_ms, set_grace_ms, settings_at, look, there =
    0, '', 0, set[1] or 0, set[2] or -1, set[3] or 0, 0, ''
end
version, floor, settings_at, look = tonumber(version), tonumber(floor), tonumber(settings_at), tonumber(look)
set_idle_ms, set_grace_ms = tonumber(set_idle_ms), tonumber(set_grace_ms)
local idle_ms = set_idle_ms > 0 and set_idle_ms or IDLE_MS
local grace_ms = set_grace_ms >= 0 and set_grace_ms or GRACE_MS
local first_version, first_tip = version, tip
local fences = {}
for worker, last, left in string.gmatch(there, FENCE) do
  fences[worker] = { last = tonumber(last), left = tonumber(left) }
end

local word  -- random, becomes tip or epoch; set by whoever may write
local published = {}
local deadline = 0  -- the earliest that this script has set; 0: none
local told_by  -- who did it: a user's id, nil for the server itself

-- A worker creates the epoch of a team nobody has ever used, or whose data is gone.
local function begin_epoch(at_version)
  epoch, tip, floor = word, word, at_version
  version, first_version, first_tip = at_version, at_version, word
end

local function user_key(id)
  return base .. ':user:' .. id
end

local function load(id)
  local raw = redis.call('GET', user_key(id))
  if not raw then
    return { id = id, seen = false, chosen = 'online', status = 'offline', since = 0, reason = '', active = 0,
      not_before = 0, version = 0, ended = 0, fresh = 0, grace = 0, ends = 0, holds = {} }
  end
  local chosen, status, since, reason, active, not_before, at, ended, fresh, grace, ends, held = string.match(raw, USER)
  local holds = {}
  for worker, session, open, number in string.gmatch(held, HOLD) do
    holds[#holds + 1] = { worker = worker, session = session, open = tonumber(open), number = tonumber(number) }
  end
  return { id = id, seen = chosen ~= '', chosen = chosen ~= '' and chosen or 'online', status = status,
    since = tonumber(since), reason = reason, active = tonumber(active), not_before = tonumber(not_before),
    version = tonumber(at), ended = tonumber(ended), fresh = tonumber(fresh), grace = tonumber(grace),
    ends = tonumber(ends), holds = holds }
end

-- Who is held has no TTL: nothing would move it while he does nothing. A sweep or a leave gives him one.
local function save(user)
  local raw = '["' .. (user.seen and user.chosen or '') .. '","' .. user.status .. '",' .. user.since .. ',"'
    .. user.reason .. '",' .. user.active .. ',' .. user.not_before .. ',' .. user.version .. ',' .. user.ended .. ','
    .. user.fresh .. ',' .. user.grace .. ',' .. user.ends
  for _, hold in ipairs(user.holds) do
    raw = raw .. ',"' .. hold.worker .. '","' .. hold.session .. '",' .. hold.open .. ',' .. hold.number
  end
  if #user.holds > 0 or user.grace > now then
    redis.call('SET', user_key(user.id), raw .. ']')
  else
    redis.call('SET', user_key(user.id), raw .. ']', 'PX', REMEMBER_MS)
  end
end

-- The index has to know of an instant; the earliest counts.
local function due_at(instant)
  if deadline == 0 or instant < deadline then
    deadline = instant
  end
end

-- The newest input wins, in whatever order workers learn of it (rule 4); none is ever in the future.
local function touch(user, at)
  at = math.min(at, now)
  if user.status ~= 'offline' then
    redis.call('ZADD', active_key, 'GT', at, user.id)
  elseif at > user.active then
    user.active = at
  end
end

local function last_active(user)
  if user.status == 'offline' then
    return user.active
  end
  return tonumber(redis.call('ZSCORE', active_key, user.id) or user.active)
end

-- An instant inside an interval in which nobody swept counts from the interval's end: who would have moved it could not.
-- One put off may fall into the next. `gaps` are { from, until } in order, or nil.
local function put_off(instant, gaps, by)
  for _, gap in ipairs(gaps or {}) do
    if instant > gap[1] and instant <= gap[2] then
      instant = gap[2] + by
    end
  end
  return instant
end

-- Every change gets a version of its own, and goes out with the script's one message.
local function record(user, before)
  version = version + 1
  user.version = version
  redis.call('ZADD', changes_key, version, user.id)
  published[#published + 1] = '["' .. user.id .. '",' .. version .. ',"' .. before .. '","' .. user.status .. '",'
    .. user.since .. ',"' .. user.reason .. '","' .. user.chosen .. '",'
    .. (told_by and '"' .. told_by .. '"' or 'null') .. ']'
end

local function show(user, status, reason)
  local before = user.status
  if before == 'offline' then
    redis.call('ZADD', active_key, user.active, user.id)
    due_at(user.active + idle_ms)
  elseif status == 'offline' then
    user.active = last_active(user)
    redis.call('ZREM', active_key, user.id)
  end
  user.status, user.since, user.reason = status, now, reason
  record(user, before)
end

-- When to look at him for anything but idling. An offline user stays among the changes for a while, so that those who
-- were away can be told; then he is forgotten, unless he is held: there new settings must find him.
local function ends_at(user)
  if #user.holds > 0 then
    return 0
  elseif user.status ~= 'offline' then
    return user.grace
  elseif user.version > 0 then
    return math.max(user.since, user.grace) + RETAIN_MS
  end
  return 0
end

local function schedule(user)
  local instant = ends_at(user)
  if instant ~= user.ends then
    if instant == 0 then
      redis.call('ZREM', ends_key, user.id)
    else
      redis.call('ZADD', ends_key, instant, user.id)
      due_at(instant)
    end
    user.ends = instant
  end
end

-- A deadline that had already passed when the timeout was set is the setting's doing.
local function why_idle(idles_at)
  return idles_at <= settings_at and 'settings' or 'idle'
end

local function is_held(user, gaps)
  if #user.holds > 0 then
    return true
  elseif user.status == 'offline' then
    -- Who is offline already is not brought back by a delay.
    return user.grace > now
  elseif gaps then
    return put_off(user.grace, gaps, LEASE_MS) > now
  end
  return user.grace > 0
end

-- The rule of section 2, and the one place that saves a user. `cause` is the reason to give if he appears or changes
-- colour, or leaves by signing out. `rechosen` says that the choice itself changed, which his own connections must learn
-- even if nobody sees a difference. Only a sweep (`gaps` given) takes somebody offline by a deadline: others do not know
-- what there still is to tell.
local function settle(user, cause, rechosen, gaps)
  local held, status, reason = is_held(user, gaps), user.status, nil
  if user.status ~= 'offline' then
    local idles_at = gaps and last_active(user) + idle_ms
    local idle = gaps and put_off(idles_at, gaps, math.floor(LEASE_MS / 3)) <= now
    if held and not idle then
      status, reason = user.chosen, cause or 'settings'
    elseif not held and (cause == 'signed_out' or cause == 'forced') then
      status, reason = 'offline', cause
    elseif idle and (held or idles_at <= user.grace) then
      -- If both are so, the earlier deadline gives the reason (rule 1).
      status, reason = 'offline', why_idle(idles_at)
    else
      status, reason = 'offline', 'disconnected'
    end
  elseif held and user.active + idle_ms > now then
    status, reason = user.chosen, cause or 'settings'
  end
  if status ~= user.status then
    show(user, status, reason)
  elseif held and user.since == 0 then
    -- Who is idle when he first comes in is offline since then.
    user.since, user.reason = now, why_idle(user.active + idle_ms)
    record(user, 'offline')
  elseif rechosen or (held and user.version == 0) then
    -- Who is here must be among the changes, even if he was forgotten and is still idle.
    record(user, user.status)
  end
  -- A grace that is over holds nobody; of who is visible by it alone, a sweep has to say so.
  if user.grace <= now and (user.status == 'offline' or #user.holds > 0) then
    user.grace = 0
  end
  schedule(user)
  save(user)
end

-- --- holds ------------------------------------------------------------------------------------------------------------

local function find_hold(user, worker, session)
  for i, hold in ipairs(user.holds) do
    if hold.worker == worker and hold.session == session then
      return hold, i
    end
  end
end

local function enter_held(user, worker)
  local lowest
  for _, hold in ipairs(user.holds) do
    if hold.worker == worker and (not lowest or hold.number < lowest) then
      lowest = hold.number
    end
  end
  if lowest then
    redis.call('ZADD', base .. ':held:' .. worker, lowest, user.id)
  else
    redis.call('ZREM', base .. ':held:' .. worker, user.id)
  end
end

-- Takes away the holds for which `which(hold)` is true, and tells how many there were.
local function drop_holds(user, which)
  local kept, workers, dropped = {}, {}, 0
  for _, hold in ipairs(user.holds) do
    if which(hold) then
      workers[hold.worker], dropped = true, dropped + 1
    else
      kept[#kept + 1] = hold
    end
  end
  user.holds = kept
  for worker in pairs(workers) do
    enter_held(user, worker)
  end
  return dropped
end

-- Lost connections of a user are forgiven together, until the last of their graces ends.
local function forgive(user, till)
  user.grace = math.max(user.grace, till)
end

-- --- the end of every script ------------------------------------------------------------------------------------------

-- Whether the index must be told of the deadline that was set: a look in the future that comes no later will find it.
local function must_be_told()
  if deadline > 0 and (look <= now or deadline < look) then
    look = deadline
    return deadline
  end
  return 0
end

local function save_mark()
  local raw = '["' .. epoch .. '",' .. version .. ',"' .. tip .. '",' .. floor .. ',' .. set_idle_ms .. ','
    .. set_grace_ms .. ',' .. settings_at .. ',' .. look
  local here = false
  for worker, fence in pairs(fences) do
    raw = raw .. ',"' .. worker .. '",' .. fence.last .. ',' .. fence.left
    here = here or fence.left == 0
  end
  -- As long as a worker is here it has no TTL: nothing would move it while everybody is idle.
  if here then
    redis.call('SET', mark_key, raw .. ']')
  else
    redis.call('SET', mark_key, raw .. ']', 'PX', 2 * REMEMBER_MS + LEASE_MS)
  end
end

-- One version for each change, one message for each script, written and published together. `extra` are JSON members of
-- the message beside the changes; a message that has some raises the version by itself if no change did, so that its
-- loss is noticed like any other. It names the tip before it, too: so a fork is seen even after it was overtaken.
local function publish(extra)
  if extra and version == first_version then
    version = version + 1
  end
  if version ~= first_version then
    tip = word
    redis.call(PUBLISH, base .. FEED, '{"epoch":"' .. epoch .. '","version":' .. version .. ',"tip":"' .. tip
      .. '","previous":' .. first_version .. ',"previous_tip":"' .. first_tip .. '"'
      .. (#published > 0 and ',"changes":[' .. table.concat(published, ',') .. ']' or '')
      .. (extra and ',' .. extra or '') .. '}')
  end
end

-- What every script that writes gives back; see Reply in the caller.
local function finish(results, extra)
  publish(extra)
  local tell = must_be_told()
  save_mark()
  return { 'ok', now, epoch, version, tip, idle_ms, grace_ms, tell, #published, unpack(results) }
end
