-- After a sweep, say when the team must be looked at next; an earlier wish that came meanwhile stands.
-- KEYS[1]  <prefix>:{due}   ARGV[1]  team   ARGV[2]  the score that the claim left   ARGV[3]  next score, or "" for never
local teams_key, claimed_key = KEYS[1] .. ':teams', KEYS[1] .. ':claimed'
if ARGV[3] ~= '' then
  redis.call('ZADD', teams_key, 'LT', ARGV[3], ARGV[1])
end
if redis.call('ZSCORE', claimed_key, ARGV[1]) == ARGV[2] then
  redis.call('ZREM', claimed_key, ARGV[1])
end
return 1
