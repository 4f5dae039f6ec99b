-- Beat, and learn what is due: the one call that a worker makes twice a second.
-- ARGV     worker, "1" for its first beat under this name, random word, how many teams at most, "1" while it is writing
--          its rosters back, how many of a dead worker's teams to see to at most, "1" if it sweeps: the beat of a worker
--          that is cut off from its teams renews its lease, and is not taken for a sign that deadlines are seen to
-- returns  1 if the worker is alive, now, born, born_at, number of workers restoring, the worker's last number here, the
--          score that the claim left, 1 if there is more to claim at once, 1 if the clock was set back within a lease,
--          gaps (JSON), [worker, …] alive, [team, its burials (JSON, "" for none), …]
local HOUR_MS = 3600000
local me, first, at_most, sweeps = ARGV[1], ARGV[2] == '1', tonumber(ARGV[4]), ARGV[7] == '1'
local state = redis.call('HMGET', clock_key, 'swept', 'born', 'born_at', 'gaps', 'back', 'scan', 'seen')
local swept, born, born_at = tonumber(state[1] or 0), state[2], tonumber(state[3] or now)
local gaps, back, scan = state[4] and cjson.decode(state[4]) or {}, tonumber(state[5] or 0), state[6]
local seen = math.max(swept, tonumber(state[7] or 0))

if not born then
  -- An index that is new may follow one that was lost, and an interval without a sweep.
  born, born_at, swept, gaps = ARGV[3], now, now, { { 0, now } }
  redis.call('HSET', clock_key, 'born', born, 'born_at', text(now), 'gaps', cjson.encode(gaps))
end

-- Nothing that was written by a clock ahead of this one may last longer than it was meant to.
local function bound(key, most)
  for _, member in ipairs(redis.call('ZRANGE', key, '(' .. text(most), '+inf', 'BYSCORE')) do
    redis.call('ZADD', key, text(most), member)
  end
end

if now < seen then
  for _, gap in ipairs(gaps) do
    gap[1], gap[2] = math.min(gap[1], now), math.min(gap[2], now)
  end
  bound(workers_key, now + LEASE_MS)
  bound(dead_key, now + LEASE_MS)
  bound(claimed_key, now)
  redis.call('DEL', lifted_key)
  back, scan, born_at, swept = now, '0', math.min(born_at, now), math.min(swept, now)
  redis.call('HSET', clock_key, 'back', text(now), 'scan', '0', 'born_at', text(born_at), 'gaps', cjson.encode(gaps))
end
if sweeps and now - swept > GAP_MS then
  -- Leases that were not over when it began get one more, by their own last word: so gap after gap keeps nobody for ever.
  for _, worker in ipairs(redis.call('ZRANGE', workers_key, '(' .. text(swept), '+inf', 'BYSCORE')) do
    redis.call('HSET', lifted_key, worker, text(now + LEASE_MS))
  end
  local recent = {}
  for _, gap in ipairs(gaps) do
    if gap[2] >= now - 2 * LEASE_MS then
      recent[#recent + 1] = gap
    end
  end
  recent[#recent + 1] = { swept, now }
  gaps = recent
  redis.call('HSET', clock_key, 'gaps', cjson.encode(gaps))
elseif now - swept > GAP_MS then
  -- It goes on, and is noted by whoever sweeps again; until then this worker must know of it.
  gaps[#gaps + 1] = { swept, now }
end
redis.call('HSET', clock_key, 'swept', text(sweeps and now or swept), 'seen', text(now))
-- Not with every beat: there are very many.
if math.floor(now / HOUR_MS) ~= math.floor(swept / HOUR_MS) or swept == now then
  redis.call('PEXPIRE', clock_key, KEEP_MS + HOUR_MS)
end

-- Who has lapsed is taken from the list, and then buried team by team, in parts. Before anybody sweeps it is not known
-- yet whose lease an interval without a sweep has lengthened.
local known, workers, alive = redis.call('ZRANGE', workers_key, 0, -1, 'WITHSCORES'), {}, first
for i = 1, #known, 2 do
  local worker, till = known[i], tonumber(known[i + 1])
  if worker == me then
    alive = true
  elseif till <= now then
    till = math.max(till, tonumber(redis.call('HGET', lifted_key, worker) or 0))
  end
  if worker == me or till > now or not sweeps then
    workers[#workers + 1] = worker
  else
    redis.call('ZREM', workers_key, worker)
    redis.call('HDEL', lifted_key, worker)
    redis.call('ZADD', dead_key, text(till), worker)
  end
end
if alive then
  redis.call('ZADD', workers_key, text(now + LEASE_MS), me)
  if first then
    workers[#workers + 1] = me
  end
  if gaps[#gaps] and gaps[#gaps][2] >= now - 2 * LEASE_MS then
    redis.call('HDEL', lifted_key, me)
  end
end
local parts = tonumber(ARGV[6])
for _, worker in ipairs(redis.call('ZRANGE', dead_key, 0, -1)) do
  local till = tonumber(redis.call('ZSCORE', dead_key, worker))
  local teams = parts > 0 and redis.call('SPOP', of_key(worker), parts) or {}
  for _, team in ipairs(teams) do
    order_burial(team, worker, -1, till)
  end
  parts = parts - #teams
  if parts > 0 then
    redis.call('ZREM', dead_key, worker)
    redis.call('HDEL', numbers_key, worker)
  end
end

-- After the clock was set back, every team is looked at: its deadlines may be further away than any can be. Who sweeps
-- within a lease of that is told so: of it counts neither the time it takes, nor one in which nobody can sweep.
if scan or (back > 0 and not sweeps and now - back < LEASE_MS) then
  back = now
  redis.call('HSET', clock_key, 'back', text(now))
end
if scan then
  local found = redis.call('ZSCAN', teams_key, scan, 'COUNT', 1000)
  for i = 1, #found[2], 2 do
    if tonumber(found[2][i + 1]) > now then
      redis.call('ZADD', teams_key, text(now), found[2][i])
    end
  end
  if found[1] == '0' then
    redis.call('HDEL', clock_key, 'scan')
  else
    redis.call('HSET', clock_key, 'scan', found[1])
  end
end

local restoring = redis.call('ZCARD', restoring_key)
if ARGV[5] == '1' then
  -- Said with every beat: who is silent for so long has ended, and is waited for no more.
  redis.call('ZADD', restoring_key, text(now + GAP_MS), me)
  redis.call('PEXPIRE', restoring_key, GAP_MS)
elseif restoring > 0 then
  redis.call('ZREM', restoring_key, me)
end
if ARGV[5] == '1' or restoring > 0 then
  redis.call('ZREMRANGEBYSCORE', restoring_key, '-inf', text(now))
  restoring = redis.call('ZCARD', restoring_key)
end

-- A claim takes the team out of :teams, so that who asks for it from now on leaves a trace there. What was claimed by a
-- sweeper that died is claimed again.
local due = {}
local function claim(team)
  redis.call('ZREM', teams_key, team)
  redis.call('ZADD', claimed_key, text(now + CLAIM_MS), team)
  due[#due + 1] = team
end
for _, key in ipairs({ teams_key, claimed_key }) do
  local room = at_most - #due
  for _, team in ipairs(redis.call('ZRANGE', key, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, room)) do
    claim(team)
  end
end
local teams = {}
if #due > 0 then
  local burials = redis.call('HMGET', burials_key, unpack(due))
  for i, team in ipairs(due) do
    teams[2 * i - 1], teams[2 * i] = team, burials[i] or ''
  end
end
return { alive and 1 or 0, now, born, born_at, restoring,
  tonumber(redis.call('HGET', numbers_key, me) or 0), now + CLAIM_MS,
  (at_most > 0 and (#due == at_most or parts <= 0)) and 1 or 0,
  (back > 0 and now - back < LEASE_MS) and 1 or 0, cjson.encode(gaps),
  workers, teams }
