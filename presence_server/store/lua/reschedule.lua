-- After a sweep, say when the team must be looked at next, unless somebody asked for it meanwhile.
-- KEYS[1]  <prefix>:{due}   ARGV[1]  team   ARGV[2]  the score that the claim left   ARGV[3]  next score, or "" for never
local key = KEYS[1] .. ':teams'
if redis.call('ZSCORE', key, ARGV[1]) == ARGV[2] then
  if ARGV[3] == '' then
    redis.call('ZREM', key, ARGV[1])
  else
    redis.call('ZADD', key, ARGV[3], ARGV[1])
  end
end
return 1
