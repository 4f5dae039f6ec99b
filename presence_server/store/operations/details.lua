-- Read all about some users (section 6).
-- ARGV     users
-- returns  now, mark (JSON, as stored; "" when there is none), idle_ms, grace_ms, then for each user: record (JSON, as
--          stored; "" when never seen), last input while he is visible (or "")
local results = { now, call('GET', mark_key) or '', idle_ms, grace_ms }
for _, id in ipairs(ARGV) do
  local n = #results
  results[n + 1] = call('GET', base .. ':user:' .. id) or ''
  results[n + 2] = call('ZSCORE', active_key, id) or ''
end
return results
