-- Put a worker on record for teams, or take it off, or tell all of it anew; numbered like writes to a team.
-- ARGV     worker, number before, number, "1" if this is its whole record, how many teams are added, these, then those
--          it is taken off
-- returns  "ok", "dead" (it is not alive here: nothing is recorded) or "behind" (the number before is not there)
local me, before, number, whole = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
if not redis.call('ZSCORE', workers_key, me) then
  return 'dead'
end
local last = tonumber(redis.call('HGET', numbers_key, me) or 0)
if number <= last then
  return number == last and 'ok' or 'behind'
end
if before ~= last and not whole then
  return 'behind'
end
redis.call('HSET', numbers_key, me, text(number))
if whole then
  redis.call('DEL', of_key(me))
end
for i = 6, 5 + tonumber(ARGV[5]) do
  redis.call('SADD', of_key(me), ARGV[i])
  local raw = redis.call('HGET', burials_key, ARGV[i])
  local orders = raw and cjson.decode(raw) or {}
  for place = 2, #orders, 3 do
    -- It is there after all.
    if orders[place] == me and orders[place + 1] >= 0 then
      for _ = 1, 3 do
        table.remove(orders, place)
      end
      redis.call('HSET', burials_key, ARGV[i], cjson.encode(orders))
      break
    end
  end
end
for i = 6 + tonumber(ARGV[5]), #ARGV do
  redis.call('SREM', of_key(me), ARGV[i])
end
return 'ok'
