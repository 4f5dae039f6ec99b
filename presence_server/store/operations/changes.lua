-- Read what changed after a version, in the order of versions, a page at a time (rule 9).
-- ARGV     version, how many at most
-- returns  now, mark (JSON, as stored; "" when there is none), idle_ms, grace_ms, then for each user: id, version, record
--          (JSON, as stored; "" when its TTL has taken it)
local results = { now, call('GET', mark_key) or '', idle_ms, grace_ms }
local users = call('ZRANGE', changes_key, '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
if #users > 0 and epoch then
  local keys = {}
  for i = 1, #users, 2 do
    keys[#keys + 1] = base .. ':user:' .. users[i]
  end
  for i, raw in ipairs(call('MGET', unpack(keys))) do
    local n = #results
    results[n + 1], results[n + 2], results[n + 3] = users[2 * i - 1], users[2 * i], raw or ''
  end
end
return results
