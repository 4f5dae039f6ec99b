-- Set chosen statuses (rules 2, 3 and 5). By a user himself it is activity, by an administrator it is not.
-- input    for each: user, status, when he chose, by whom
if had then
  return repeated({})
end
for i = at, #ARGV, 4 do
  local user, status, by = load(ARGV[i]), ARGV[i + 1], ARGV[i + 3]
  local himself = by == user.id
  local rechosen = not user.seen or user.chosen ~= status
  user.chosen, user.seen, user.fresh = status, true, 0
  told_by = by
  if himself then
    touch(user, tonumber(ARGV[i + 2]))
  end
  settle(user, himself and 'chosen' or 'forced', rechosen)
end
return finish({})
