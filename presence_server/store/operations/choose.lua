-- Set chosen statuses (rules 2, 3 and 5). By a user himself it is activity, by an administrator it is not.
-- input    for each: user, status, when he chose, by whom
for i = at, had and 0 or #ARGV, 4 do
  local user, status, by = load(ARGV[i]), ARGV[i + 1], ARGV[i + 3]
  local himself = by == user.id
  local rechosen = user.chosen ~= status
  user.chosen, user.fresh = status, '0'
  told_by = by
  if himself then
    touch(user, ARGV[i + 2])
  end
  settle(user, himself and 'chosen' or 'forced', rechosen)
end
return finish({})
