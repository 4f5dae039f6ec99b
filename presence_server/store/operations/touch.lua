-- Tell input of users who may be offline by now (rule 4); who is visible needs no script.
-- ARGV     random word, then for each: user, instant of his last input
if not epoch then
  return { 'ok', now, '', 0, '', idle_ms, grace_ms, 0, 0 }
end
word = ARGV[1]
for i = 2, #ARGV, 2 do
  local user = load(ARGV[i])
  if user.chosen ~= '' then
    touch(user, ARGV[i + 1])
    settle(user, 'active')
  end
end
return finish({})
