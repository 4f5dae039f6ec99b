-- After sweeps, say when each team must be looked at next; an earlier wish that came meanwhile stands.
-- ARGV     the score that the claim left, then for each: team, stamp of the burials carried out (0: none), next look (0:
--          never)
for i = 2, #ARGV, 3 do
  local team, stamp, next_at = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  if stamp > 0 then
    local raw = redis.call('HGET', burials_key, team)
    if raw and cjson.decode(raw)[1] == stamp then
      redis.call('HDEL', burials_key, team)
    elseif raw then
      next_at = text(now)
    end
  end
  if next_at ~= '0' then
    redis.call('ZADD', teams_key, 'LT', next_at, team)
  end
  local claimed = redis.call('ZSCORE', claimed_key, team)
  if claimed and tonumber(claimed) == tonumber(ARGV[1]) then
    redis.call('ZREM', claimed_key, team)
  end
end
return 'ok'
