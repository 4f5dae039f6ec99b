-- What every script of a team begins with: its state, the rule, and the one way to publish.
--
-- KEYS[1]  the team's base, <prefix>:{<team>}; every key of the team is this plus a suffix, so all share its slot:
--            :meta       hash    epoch, version, tip, floor, look (when the index of due teams lets somebody look)
--            :settings   hash    idle_ms, at (when it was changed); without TTL, it is configuration
--            :user:<id>  hash    chosen, status, since (0: never seen), reason, active, not_before,
--                                version (0: not among the changes), fresh (1: the choice is still the default),
--                                lease:<worker>:<session> = "<expires at> <open connections>",
--                                out:<session> = until when this session is refused
--            :changes    zset    user -> version of his last change: "what changed since" is a range
--            :deadlines  zset    user -> when the sweep must look at him again
--            :feed       channel
-- ARGV[1]  JSON: lease_ms, grace_ms, remember_ms, idle_ms (default), retain_ms (offline users in :changes),
--          word (random, becomes tip or epoch), worker, known (epoch the worker has a roster of, or ""),
--          gap_from, gap_until (the last interval in which nobody swept), publish (PUBLISH or SPUBLISH)
-- ARGV[2]  JSON: the operation's own input
--
-- Every script returns JSON: now, epoch, version, tip, deadline (the team's earliest, or false), look (by when the index
-- must be told to look at the team, or false if it will anyway) and its own results; or lost = true, having done
-- nothing, when the team is empty although the worker has a roster of it.
-- Times are milliseconds by Redis's clock.

local base = KEYS[1]
local config = cjson.decode(ARGV[1])
local input = cjson.decode(ARGV[2])

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local meta_key, settings_key = base .. ':meta', base .. ':settings'
local changes_key, deadlines_key = base .. ':changes', base .. ':deadlines'

local meta = redis.call('HMGET', meta_key, 'epoch', 'version', 'tip', 'floor', 'look')
local epoch, version, tip, floor = meta[1], tonumber(meta[2] or 0), meta[3] or '', tonumber(meta[4] or 0)
local look = tonumber(meta[5])
local first_version = version

local settings = redis.call('HMGET', settings_key, 'idle_ms', 'at')
local idle_ms = tonumber(settings[1] or config.idle_ms)
local settings_at = tonumber(settings[2] or 0)

local published = {}

local function text(number)
  return string.format('%.0f', number)
end

local function lost()
  return not epoch and config.known ~= ''
end

-- A worker creates the epoch of a team nobody has ever used, or whose data is gone.
local function begin_epoch(at_version)
  epoch, floor = config.word, at_version
  version, first_version = at_version, at_version
  redis.call('HSET', meta_key, 'epoch', epoch, 'version', text(version), 'tip', config.word, 'floor', text(floor))
  tip = config.word
end

-- What every operation that may be a team's first begins with: see to an epoch; false, having done nothing, when lost.
local function ready()
  if lost() then
    return false
  end
  if not epoch then
    begin_epoch(0)
  end
  return true
end

local function user_key(id)
  return base .. ':user:' .. id
end

local function load(id)
  local user = { id = id, status = 'offline', since = 0, reason = '', active = 0, version = 0, not_before = 0,
    fresh = 0, leases = {}, out = {} }
  local flat = redis.call('HGETALL', user_key(id))
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    if string.sub(field, 1, 6) == 'lease:' then
      local expires, open = string.match(value, '^(%d+) (%d+)$')
      user.leases[string.sub(field, 7)] = { expires = tonumber(expires), open = tonumber(open) }
    elseif string.sub(field, 1, 4) == 'out:' then
      user.out[string.sub(field, 5)] = tonumber(value)
    elseif field == 'chosen' or field == 'status' or field == 'reason' then
      user[field] = value
    else
      user[field] = tonumber(value)
    end
  end
  -- Who was only ever signed out has been refused, but not seen.
  user.seen = user.chosen ~= nil
  user.chosen = user.chosen or 'online'
  return user
end

-- First sign-in: online (section 1 of the contract). Nothing to tell anybody yet.
local function create(user, fresh)
  user.seen, user.fresh = true, fresh
  redis.call('HSET', user_key(user.id), 'chosen', user.chosen, 'status', user.status, 'since', text(user.since),
    'reason', user.reason, 'active', text(user.active), 'fresh', fresh)
end

-- An instant that came to pass while nobody swept is put off: the workers that would have moved it could not.
local function put_off(instant, by)
  if instant > config.gap_from and instant <= config.gap_until then
    return math.max(instant, config.gap_until + by)
  end
  return instant
end

local function lease_ends(lease)
  return put_off(lease.expires, config.lease_ms)
end

local function held_until(user)
  local last = 0
  for _, lease in pairs(user.leases) do
    -- Who is offline already is not brought back by a delay.
    last = math.max(last, user.status == 'offline' and lease.expires or lease_ends(lease))
  end
  return last
end

local function idle_at(user)
  local instant = user.active + idle_ms
  return user.status == 'offline' and instant or put_off(instant, math.floor(config.lease_ms / 3))
end

local function set_lease(user, name, expires, open)
  user.leases[name] = { expires = expires, open = open }
  redis.call('HSET', user_key(user.id), 'lease:' .. name, text(expires) .. ' ' .. text(open))
end

local function drop_lease(user, name)
  user.leases[name] = nil
  redis.call('HDEL', user_key(user.id), 'lease:' .. name)
end

-- The newest input wins, in whatever order workers learn of it (rule 4).
local function touch(user, ago_ms)
  local at = now - ago_ms
  if at > user.active then
    user.active = at
    redis.call('HSET', user_key(user.id), 'active', text(at))
    return true
  end
  return false
end

local function refused(user, session)
  local till = user.out[session]
  return till ~= nil and till > now
end

-- Every change gets a version of its own, and goes out with the script's one message.
local function record(user)
  version = version + 1
  user.version = version
  redis.call('HSET', user_key(user.id), 'chosen', user.chosen, 'status', user.status, 'since', text(user.since),
    'reason', user.reason, 'version', text(version))
  redis.call('ZADD', changes_key, version, user.id)
  published[#published + 1] = { user.id, version, user.status, user.since, user.reason, user.chosen }
end

local function why_offline(cause, holds_until, idles_at)
  -- No lease is left: they were ended, rather than having run out.
  if holds_until == 0 then
    return cause or 'disconnected'
  end
  -- If both are so, the earlier deadline gives the reason (rule 1); a deadline that had already passed when the timeout
  -- was set is the setting's doing.
  if idles_at <= holds_until then
    return idles_at <= settings_at and 'settings' or 'idle'
  end
  return 'disconnected'
end

-- An offline user stays among the changes for a while, so that those who were away can be told; then he is forgotten.
local function forget_at(user, holds_until)
  return math.max(user.since, holds_until) + config.retain_ms
end

-- The rule of section 2: bring status, deadline and TTL of a user into line with his leases, activity and choice.
-- `cause` is the reason to give if he appears or changes colour, or leaves by signing out. `rechosen` says that the
-- choice itself changed, which his own connections must learn even if nobody sees a difference.
local function settle(user, cause, rechosen)
  local holds_until, idles_at = held_until(user), idle_at(user)
  local held = holds_until > now
  local status = (held and idles_at > now) and user.chosen or 'offline'
  -- Who is idle when he first comes in is offline since then.
  if status ~= user.status or (held and user.since == 0) then
    if status == 'offline' then
      user.reason = why_offline(cause, holds_until, idles_at)
    else
      user.reason = cause or 'settings'
    end
    user.status, user.since = status, now
    record(user)
  elseif rechosen or (held and user.version == 0) then
    -- Who is here must be among the changes, even if he was forgotten and is still idle: there new settings find him.
    record(user)
  end
  if status ~= 'offline' then
    redis.call('ZADD', deadlines_key, math.min(holds_until, idles_at), user.id)
  elseif user.version > 0 then
    redis.call('ZADD', deadlines_key, forget_at(user, holds_until), user.id)
  else
    redis.call('ZREM', deadlines_key, user.id)
  end
  redis.call('PEXPIRE', user_key(user.id), math.max(holds_until - now, 0) + config.remember_ms)
end

local function drop_expired_leases(user)
  for name, lease in pairs(user.leases) do
    if lease_ends(lease) <= now then
      drop_lease(user, name)
    end
  end
  for session, till in pairs(user.out) do
    if till <= now then
      user.out[session] = nil
      redis.call('HDEL', user_key(user.id), 'out:' .. session)
    end
  end
end

local function first_deadline()
  return tonumber(redis.call('ZRANGE', deadlines_key, 0, 0, 'WITHSCORES')[2])
end

local function look_at(instant)
  look = instant
  redis.call('HSET', meta_key, 'look', text(instant))
end

-- A deadline before the instant at which the index lets somebody look, or long after one at which nobody came, is the
-- worker's to tell: the index has another slot.
local function must_be_told(deadline)
  if deadline and (not look or deadline < look or look + 2000 < now) then
    look_at(deadline)
    return true
  end
  return false
end

-- Ends every script: one version bump per change, one message per script, written and published together.
-- `extra` are fields of the message beside the changes; a message that has some raises the version by itself if no
-- change did, so that its loss is noticed like any other.
local function finish(results, extra)
  if extra and version == first_version then
    version = version + 1
  end
  if version ~= first_version then
    tip = config.word
    redis.call('HSET', meta_key, 'version', text(version), 'tip', tip)
    local message = extra or {}
    message.epoch, message.version, message.tip, message.previous = epoch, version, tip, first_version
    message.changes = published
    if #published == 0 then
      message.changes = nil
    end
    redis.call(config.publish, base .. ':feed', cjson.encode(message))
  end
  local deadline = first_deadline()
  results.deadline = deadline or false
  results.look = must_be_told(deadline) and deadline
  local ttl = 2 * config.remember_ms + config.lease_ms
  redis.call('PEXPIRE', meta_key, ttl)
  redis.call('PEXPIRE', changes_key, ttl)
  redis.call('PEXPIRE', deadlines_key, ttl)
  results.now, results.epoch, results.version, results.tip = now, epoch, version, tip
  results.changed = #published
  results.idle_ms = idle_ms
  return cjson.encode(results)
end

local function finish_lost()
  return cjson.encode({ lost = true, now = now })
end
