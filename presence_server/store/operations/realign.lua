-- Bring the next users of a team into line after its settings changed: who is idle comes back, who is not goes.
-- ARGV     random word, cursor (the version up to which users have been looked at), how many at most, then for each
--          interval in which nobody swept: from, until
-- returns  cursor: where to go on; 0 at the end
if not epoch then
  return { 'ok', now, '', 0, '', idle_ms, grace_ms, 0, 0, 0 }
end
word = ARGV[1]
read_gaps(4)
local due = call('ZRANGE', changes_key, '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local cursor = 0
for i = 1, #due, 2 do
  settle(load(due[i]))
  cursor = tonumber(due[i + 1])
end
return finish({ #due == 2 * tonumber(ARGV[3]) and cursor or 0 })
