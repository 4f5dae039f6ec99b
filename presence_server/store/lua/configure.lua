-- Set a team's idle timeout (section 6). The users are brought into line by `settle`, in parts, and by renewals.
-- input    [idle timeout in ms]
if not ready() then
  return finish_lost()
end
idle_ms = input[1]
redis.call('HSET', settings_key, 'idle_ms', text(idle_ms), 'at', text(now))
return finish({}, { idle_ms = idle_ms })
