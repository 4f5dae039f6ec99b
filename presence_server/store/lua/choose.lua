-- Set a user's chosen status (rules 2, 3 and 5). By himself it is activity, by an administrator it is not.
-- input    [user, status, idle for ms (how long the request has waited), by an administrator: true or false]
if not ready() then
  return finish_lost()
end
local user = load(input[1])
local rechosen = not user.seen or user.chosen ~= input[2]
user.chosen = input[2]
create(user, 0)
if not input[4] then
  touch(user, input[3])
end
settle(user, input[4] and 'forced' or 'chosen', rechosen)
return finish({})
