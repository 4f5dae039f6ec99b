-- Bring the next users of a team into line after its settings changed.
-- input    [cursor, how many at most]; the cursor is the version up to which users have been looked at
-- returns  cursor: where to go on, or false
if lost() then
  return finish_lost()
end
local cursor = false
if epoch then
  local due = redis.call('ZRANGE', changes_key, '(' .. text(input[1]), '+inf', 'BYSCORE', 'LIMIT', 0, input[2],
    'WITHSCORES')
  for i = 1, #due, 2 do
    settle(load(due[i]))
    cursor = tonumber(due[i + 1])
  end
  if #due < 2 * input[2] then
    cursor = false
  end
end
return finish({ cursor = cursor })
