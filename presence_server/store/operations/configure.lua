-- Set a team's own settings (section 6). The users are brought into line by realign.lua, in parts, and by sweeps.
-- input    idle timeout in ms (0: the default, -1: as it is), grace in ms (-1: the default, -2: as it is)
if had then
  return repeated({})
end
local idle, grace = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
if idle >= 0 and idle ~= set_idle_ms then
  set_idle_ms, idle = idle, idle > 0 and idle or IDLE_MS
  settings_at = idle ~= idle_ms and now or settings_at
  idle_ms = idle
end
if grace >= -1 then
  set_grace_ms = grace
  grace_ms = grace >= 0 and grace or GRACE_MS
end
redis.call('HSET', settings_key, 'idle_ms', set_idle_ms, 'grace_ms', set_grace_ms, 'at', settings_at)
-- Everybody's deadline is another one.
due_at(now)
return finish({}, '"idle_ms":' .. idle_ms)
