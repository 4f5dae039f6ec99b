-- Which teams are due, and is anybody sweeping at all? The index has a slot of its own; no team's script touches it.
-- KEYS[1]  <prefix>:{due}; :teams zset team -> when to look at it, :claimed zset team -> until when somebody is at it,
--          :clock hash swept, gap_from, gap_until, born, :restoring zset worker -> until when it writes rosters back
-- ARGV[1]  random word   ARGV[2]  how many teams at most   ARGV[3]  ms that a claim lasts
-- ARGV[4]  ms without a sweep that make a gap   ARGV[5]  TTL in ms of what the workers must agree on
-- ARGV[6]  worker   ARGV[7]  "1" while that worker is writing its rosters back   ARGV[8]  ms that a lease lasts
-- returns  JSON: now, gap_from, gap_until, born, restoring (number of workers), teams
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local teams_key, claimed_key = KEYS[1] .. ':teams', KEYS[1] .. ':claimed'
local clock_key, restoring_key = KEYS[1] .. ':clock', KEYS[1] .. ':restoring'

local state = redis.call('HMGET', clock_key, 'swept', 'gap_from', 'gap_until', 'born', 'born_at')
local swept, gap_from, gap_until = tonumber(state[1] or now), tonumber(state[2] or 0), tonumber(state[3] or 0)
local born, born_at = state[4], tonumber(state[5] or now)
if not born then
  born = ARGV[1]
  redis.call('HSET', clock_key, 'born', born, 'born_at', string.format('%.0f', now))
end
if now - swept > tonumber(ARGV[4]) then
  -- While the lease given after one gap still runs, its leases have not had their chance: a second gap is the same one.
  if swept >= gap_until + ARGV[8] then
    gap_from = swept
  end
  gap_until = now
  redis.call('HSET', clock_key, 'gap_from', string.format('%.0f', gap_from), 'gap_until', string.format('%.0f', now))
end
redis.call('HSET', clock_key, 'swept', string.format('%.0f', now))
redis.call('PEXPIRE', clock_key, ARGV[5])

redis.call('ZREMRANGEBYSCORE', restoring_key, '-inf', now)
if ARGV[7] == '1' then
  redis.call('ZADD', restoring_key, now + 5000, ARGV[6])
  redis.call('PEXPIRE', restoring_key, 5000)
else
  redis.call('ZREM', restoring_key, ARGV[6])
end

local function due(key, at_most)
  return redis.call('ZRANGE', key, '-inf', now, 'BYSCORE', 'LIMIT', 0, at_most)
end

-- A claim takes the team out of :teams, so that who asks for it from now on leaves a trace there. What was claimed by a
-- sweeper that died is claimed again.
local teams = due(teams_key, ARGV[2])
for _, team in ipairs(teams) do
  redis.call('ZREM', teams_key, team)
  redis.call('ZADD', claimed_key, now + ARGV[3], team)
end
for _, team in ipairs(due(claimed_key, ARGV[2] - #teams)) do
  redis.call('ZADD', claimed_key, now + ARGV[3], team)
  teams[#teams + 1] = team
end
return cjson.encode({ now = now, gap_from = gap_from, gap_until = gap_until, born = born, born_at = born_at,
  restoring = redis.call('ZCARD', restoring_key), claimed_until = now + ARGV[3],
  teams = #teams > 0 and teams or nil })
