-- What every script that writes ends with; see Reply in the caller.
--
-- One version for each change, one message for each script, written and published together. `extra` are JSON members of
-- the message beside the changes; a message that has some raises the version by itself if no change did, so that its
-- loss is noticed like any other. It names the tip before it, too: so a fork is seen even after it was overtaken.
local function finish(results, extra)
  local tell, changed = 0, #published
  if had then
    -- What was carried out before is answered, and not done again.
    return { 'ok', now, epoch, version, tip, idle_ms, grace_ms, 0, 0, unpack(results) }
  end
  if changed > 0 or extra then
    tip = word
    version = changed > 0 and version or version + 1
  end
  commit()
  -- A look in the future that comes no later will find what the script has set.
  if deadline < math.huge and (tonumber(look) <= now or deadline < tonumber(look)) then
    look, tell = deadline, deadline
  end
  local at = version .. ''
  local mark = '["' .. epoch .. '",' .. at .. ',"' .. tip .. '",' .. floor .. ',' .. set_idle_ms .. ',' .. set_grace_ms
    .. ',' .. settings_at .. ',' .. look .. fences .. ']'
  -- As long as a worker is here it has no TTL: nothing would move it while everybody is idle.
  if string.find(fences .. ',"', ',0,"', 1, true) then
    values[#values + 1] = mark_key
    values[#values + 1] = mark
  else
    call('SET', mark_key, mark, 'PX', 2 * REMEMBER_MS + LEASE_MS)
  end
  if values[1] then
    call('MSET', unpack(values))
  end
  if changed > 0 or extra then
    call(PUBLISH, base .. FEED, '{"epoch":"' .. epoch .. '","version":' .. at .. ',"tip":"' .. tip .. '","previous":'
      .. previous .. ',"previous_tip":"' .. previous_tip .. '"'
      .. (changed > 0 and ',"changes":[' .. table.concat(published, ',') .. ']' or '')
      .. (extra and ',' .. extra or '') .. '}')
  end
  return { 'ok', now, epoch, version, tip, idle_ms, grace_ms, tell, changed, unpack(results) }
end
