-- Bury whom the index says, then look at the users whose deadline has come, by the rule (rule 10).
-- ARGV     random word, how many at most, "1" to bound instants in the future (Redis's clock was set back),
--          number of burials, for each: worker, up to which number (-1: all), end of its lease,
--          then for each interval in which nobody swept: from, until
-- returns  1 if a burial came too early, 1 if there is more to do, how long the latest that changed was due in ms, the
--          team's next deadline (0: none), how many deadlines had come and are put off
if not epoch then
  return { 'ok', now, '', 0, '', idle_ms, grace_ms, 0, 0, 0, 0, 0, 0, 0 }
end
word = ARGV[1]
local limit = tonumber(ARGV[2])
local burials = tonumber(ARGV[4])
read_gaps(5 + 3 * burials)
local early, lag, left = 0, 0, limit

-- The grace of a dead worker's connections counts from its last renewal, and ends no sooner than its lease (rule 6).
-- What was forgiven before has an end of its own.
local function bury(worker, upto, till)
  if now < till then
    early = 1
    return
  end
  local key = base .. ':held:' .. worker
  local found = call('ZRANGE', key, '-inf', upto < 0 and '+inf' or upto, 'BYSCORE', 'LIMIT', 0, left)
  left = left - #found
  local ends = till - LEASE_MS + grace_ms
  for _, id in ipairs(found) do
    local user = load(id)
    -- Who was idle before the worker's word was over went offline by that.
    user.held_until = till
    forgive_below(user, worker, upto < 0 and math.huge or upto + 1, ends > now and ends or 0)
  end
  if left > 0 then
    -- Should it be alive after all, it finds out by its number.
    forget_fence(worker)
  end
end

for i = 5, 4 + 3 * burials, 3 do
  if left > 0 then
    bury(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
  end
end

if ARGV[3] == '1' then
  local function bound(key, most)
    for _, id in ipairs(call('ZRANGE', key, '(' .. most, '+inf', 'BYSCORE', 'LIMIT', 0, limit)) do
      local user = load(id)
      user.active = math.min(tonumber(user.active), now)
      user.grace = math.min(user.grace, now + math.max(grace_ms, LEASE_MS))
      user.since = math.min(tonumber(user.since), now)
      if user.status ~= 'offline' then
        call('ZADD', active_key, 'LT', now, id)
      end
      user.dirty = true
    end
  end
  bound(active_key, now)
  bound(ends_key, now + math.max(grace_ms, LEASE_MS) + RETAIN_MS)
  settings_at = math.min(tonumber(settings_at), now)
end

store()

-- Of those whose instant plus `shift` has come, the ones that no gap puts off; and when the next one's comes.
local next_at, deferred = 0, 0
local function next_is(instant)
  if next_at == 0 or instant < next_at then
    next_at = instant
  end
end

local function due(key, shift, by)
  local found, from = {}, '-inf'
  local function take(till)
    if left > #found then
      local part = call('ZRANGE', key, from, till, 'BYSCORE', 'LIMIT', 0, left - #found, 'WITHSCORES')
      for i = 1, #part, 2 do
        found[#found + 1] = { part[i], tonumber(part[i + 1]) + shift }
      end
    end
  end
  for i, gap in ipairs(gaps) do
    local rest = { unpack(gaps, i + 1) }
    local resolved = put_off(gap[2] + by, rest, by)
    if resolved > now and gap[1] < now then
      take('(' .. gap[1] - shift + 1)
      from = '(' .. gap[2] - shift
      local waiting = call('ZCOUNT', key, '(' .. gap[1] - shift, gap[2] - shift)
      if waiting > 0 then
        deferred = deferred + waiting
        next_is(resolved)
      end
    end
  end
  take(now - shift)
  left = left - #found
  return found
end

local idle = due(active_key, idle_ms, math.floor(LEASE_MS / 3))
local ended = due(ends_key, 0, LEASE_MS)
for _, list in ipairs({ idle, ended }) do
  for _, entry in ipairs(list) do
    local user, before = load(entry[1]), version
    local ends = tonumber(user.ends)
    if user.chosen == '' then
      -- His record's TTL has taken it.
      call('ZREM', active_key, user.id)
      call('ZREM', ends_key, user.id)
    elseif user.status == 'offline' and user.held == '' and ends > 0 and ends <= now then
      call('ZREM', changes_key, user.id)
      floor = math.max(tonumber(floor), tonumber(user.version))
      user.version, user.grace, user.dirty = '0', 0, true
    else
      settle(user)
      if version > before then
        lag = math.max(lag, now - entry[2])
      elseif user.status == 'offline' then
        call('ZREM', active_key, user.id)
      end
    end
  end
  store()
end

local function next_in(key, shift)
  local first = call('ZRANGE', key, '(' .. now - shift, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if first[2] then
    next_is(tonumber(first[2]) + shift)
  end
end
next_in(active_key, idle_ms)
next_in(ends_key, 0)

for worker, gone in string.gmatch(fences, ',"([^"]*)",%d+,(%d+)') do
  if gone ~= '0' and tonumber(gone) <= now - LEASE_MS then
    forget_fence(worker)
  end
end
look, deadline = next_at, math.huge
return finish({ early, left <= 0 and 1 or 0, lag, next_at, deferred })
