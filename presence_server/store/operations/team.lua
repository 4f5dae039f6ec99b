-- What every script of a team begins with: where it stands.
--
-- KEYS[1]  the team's base, <prefix>:{<team>}; every key of the team is this plus a suffix, so all share its slot:
--            :mark           string  JSON array: epoch, version, tip, floor, idle_ms (0: default), grace_ms (-1: default),
--                                    settings_at (when the timeout was set), look (until when the index of due teams
--                                    lets nobody look), then for each worker: name, last number, left (0, or since when
--                                    nobody of it is here). One plain GET is the whole audit of a team
--            :settings       hash    idle_ms, grace_ms, at; without TTL, it is configuration
--            :user:<id>      string  JSON array: chosen ("" when never seen), status, since, reason, active (as of when he
--                                    was last offline), not_before, version (0: not among the changes), ended (version of
--                                    the last sign-out of all sessions), fresh (0: he chose; 1: the choice is the default;
--                                    above: written back, from one below that version),
--                                    grace (until when lost connections are forgiven; 0: none), ends (his score in :ends;
--                                    0: none), then for each hold: worker, session, open connections, number of the write
--            :out:<id>:<s>   string  stands while a session is refused in this team
--            :changes        zset    user -> version of his last change: "what changed since" is a range
--            :active         zset    who is visible -> his last input; with the idle timeout added, his deadline
--            :ends           zset    user -> when to look at him for anything else: his grace, or that he can be forgotten
--            :held:<worker>  zset    user -> lowest number among the holds that the worker has on him
--            :feed:<db>      channel
--
-- Bound when the script is loaded: LEASE_MS, GRACE_MS, REMEMBER_MS, IDLE_MS, RETAIN_MS (offline users in :changes),
-- PUBLISH (the command) and FEED (the channel's suffix). Times are milliseconds by Redis's clock.

local base = KEYS[1]
local call = redis.call
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local now_text = now .. ''

local mark_key, settings_key = base .. ':mark', base .. ':settings'
local changes_key, active_key, ends_key = base .. ':changes', base .. ':active', base .. ':ends'

-- What is stored holds no character that JSON would escape, and no number beyond 14 digits: patterns and concatenation
-- read and write it several times faster than cjson does. To make text of a number takes longer than a read of Redis:
-- so what is only kept stays the text it was, and who compares it makes a number of it.
local epoch, version, tip, floor, set_idle_ms, set_grace_ms, settings_at, look, fences = string.match(
  call('GET', mark_key) or '', '^%["([^"]*)",(%d+),"([^"]*)",(%d+),(%d+),(%-?%d+),(%d+),(%d+)(.*)%]$')
if not epoch then
  local set = call('HMGET', settings_key, 'idle_ms', 'grace_ms', 'at')
  version, tip, floor, set_idle_ms, set_grace_ms, settings_at, look, fences =
    '0', '', '0', set[1] or '0', set[2] or '-1', set[3] or '0', '0', ''
end
local idle_ms = set_idle_ms == '0' and IDLE_MS or tonumber(set_idle_ms)
local grace_ms = set_grace_ms == '-1' and GRACE_MS or tonumber(set_grace_ms)
local previous, previous_tip = version, tip
version = tonumber(version)

local word  -- random, becomes tip or epoch; set by whoever may write
local told_by  -- who did it: a user's id, nil for the server itself
local had = false  -- whether this very write was carried out before
