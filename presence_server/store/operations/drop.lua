-- After a worker has told a team everything anew: forgive what else stands there under its name (rule 6).
-- input    number of the first write of that telling, how many users at most
-- returns  1 if there may be more
local more = 0
if not had then
  local stale = call('ZRANGE', base .. ':held:' .. me, '-inf', '(' .. ARGV[at], 'BYSCORE', 'LIMIT', 0, ARGV[at + 1])
  for _, id in ipairs(stale) do
    forgive_below(load(id), me, tonumber(ARGV[at]), now + grace_ms)
  end
  more = #stale == tonumber(ARGV[at + 1]) and 1 or 0
end
return finish({ had and 1 or more })
