-- Set a team's own settings (section 6). The users are brought into line by realign.lua, in parts, and by sweeps.
-- input    idle timeout in ms (0: the default, -1: as it is), grace in ms (-1: the default, -2: as it is)
if had then
  return finish({})
end
local idle, grace = ARGV[at], ARGV[at + 1]
if tonumber(idle) >= 0 and idle ~= set_idle_ms then
  local was_ms = idle_ms
  set_idle_ms, idle_ms = idle, idle == '0' and IDLE_MS or tonumber(idle)
  settings_at = idle_ms ~= was_ms and now or settings_at
end
if tonumber(grace) >= -1 then
  set_grace_ms, grace_ms = grace, grace == '-1' and GRACE_MS or tonumber(grace)
end
call('HSET', settings_key, 'idle_ms', set_idle_ms, 'grace_ms', set_grace_ms, 'at', settings_at)
-- Everybody's deadline is another one.
deadline = now
return finish({}, '"idle_ms":' .. idle_ms)
