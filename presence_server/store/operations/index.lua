-- What every script of the index begins with. It knows who is alive, where each worker is on record, what is due, and
-- when nobody swept. It has a slot of its own; no team's script touches it.
--
-- KEYS[1]  the index's base, <prefix>:{due}:
--            :teams        zset    team -> when to look at it
--            :claimed      zset    team -> until when somebody is looking
--            :workers      zset    worker -> end of its lease, by its own last word
--            :lifted       hash    worker -> end of the lease it was given after an interval without a sweep
--            :dead         zset    worker whose burial is being ordered -> end of its lease
--            :of:<worker>  set     teams it is on record for
--            :numbers      hash    worker -> its last number here
--            :burials      hash    team -> JSON array: stamp, then for each order: worker, up to which number (-1: all), end
--            :clock        hash    swept (the last beat of a worker that sweeps), seen (of any), born (a word that is new
--                                  when the data is), born_at, stamp, gaps (JSON: [[from, until], …] of the last two
--                                  leases), back (until when it was set back and not all is bounded yet), scan
--            :restoring    zset    worker -> until when it writes rosters back
--
-- Bound when the script is loaded: LEASE_MS, CLAIM_MS, GAP_MS, KEEP_MS. Times are milliseconds by Redis's clock.

local base = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local teams_key, claimed_key, burials_key = base .. ':teams', base .. ':claimed', base .. ':burials'
local workers_key, lifted_key, dead_key = base .. ':workers', base .. ':lifted', base .. ':dead'
local numbers_key, clock_key, restoring_key = base .. ':numbers', base .. ':clock', base .. ':restoring'

local function text(number)
  return string.format('%.0f', number)
end

local function of_key(worker)
  return base .. ':of:' .. worker
end

-- Whoever sweeps the team from then on takes the worker's holds away, up to a number or all of them.
local function order_burial(team, worker, upto, till)
  local raw = redis.call('HGET', burials_key, team)
  local orders = raw and cjson.decode(raw) or { 0 }
  local place = #orders + 1
  for i = 2, #orders, 3 do
    if orders[i] == worker then
      place = i
      upto = (upto < 0 or orders[i + 1] < 0) and -1 or math.max(upto, orders[i + 1])
      till = math.min(till, orders[i + 2])
      if orders[i + 1] == upto and orders[i + 2] == till then
        return
      end
    end
  end
  orders[1] = redis.call('HINCRBY', clock_key, 'stamp', 1)
  orders[place], orders[place + 1], orders[place + 2] = worker, upto, till
  redis.call('HSET', burials_key, team, cjson.encode(orders))
  redis.call('ZADD', teams_key, 'LT', text(math.max(till, now)), team)
end
