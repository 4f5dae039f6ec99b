-- Set chosen statuses (rules 2, 3 and 5). By a user himself it is activity, by an administrator it is not.
-- input    [[user, status, idle for ms (how long the request has waited), by an administrator: true or false], …]
if not ready() then
  return finish_lost()
end
for _, entry in ipairs(input) do
  local user = load(entry[1])
  local rechosen = not user.seen or user.chosen ~= entry[2]
  user.chosen = entry[2]
  create(user, 0)
  if not entry[4] then
    touch(user, entry[3])
  end
  settle(user, entry[4] and 'forced' or 'chosen', rechosen)
end
return finish({})
