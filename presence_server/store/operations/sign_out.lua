-- End sessions of a user in this team, at once and for good (rule 7, and DELETE of section 6).
-- input    user, session or "" for all of them, refuse their return for ms, by whom ("" for the server itself)
-- The message carries signed_out = [user, session or ""], on which every worker closes what it holds of it.
if had then
  return finish({})
end
local user, session, refuse_ms, by = load(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
local forced = session == '' and by ~= user.id

-- A connection that is its own session cannot come back under that name: nothing need be remembered of it.
local function refuse(name)
  if string.sub(name, 1, 1) ~= '~' then
    call('SET', base .. ':out:' .. user.id .. ':' .. name, '1', 'PX', refuse_ms)
  end
end

drop_holds(user, function(_, _, name)
  if session == '' then
    refuse(name)
  end
  return session == '' or name == session
end, me)
user.grace = 0
if session ~= '' then
  refuse(session)
else
  -- The version that this script's message will have at least: holds joined before it may not be told anew.
  user.ended = version + 1
end
if forced then
  user.not_before = math.floor(now / 1000)
end
told_by = by ~= '' and by or nil
local unchanged = version
settle(user, forced and 'forced' or 'signed_out')
if version == unchanged and user.chosen ~= '' then
  -- He is among what changed with this script's message: whoever missed that reads him, and finds that his hold is gone.
  user.version = version + 1 .. ''
  put(changes_key, user.version, user.id)
end
return finish({}, '"signed_out":["' .. user.id .. '","' .. session .. '"]')
