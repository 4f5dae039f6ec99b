-- What every numbered write to a team begins with, after team.lua: it is done exactly once and in order, or says what
-- was lost; and nothing of a worker that is dead can arrive after its burial.
--
-- ARGV[1]  worker: the name its lease has   ARGV[2]  until: the end of that lease, as the worker knows it
-- ARGV[3]  "1" if the worker has seen this team before   ARGV[4]  number before   ARGV[5]  number
-- ARGV[6]  "1" when the worker tells the team everything anew   ARGV[7]  random word
-- ARGV[8…] the operation's own input, from `at` on
-- returns  { "ok", … } or a verdict: { "lost" }, the team is gone; { "late", known }, the lease is over; { "behind" },
--          the number before is not there: it was lost in a failover
local me, till, number = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local at = 8
word = ARGV[7]

local fence = fences[me]
if ARGV[3] == '1' and not epoch then
  return { 'lost' }
end
local had = fence ~= nil and number <= fence.last
if not had then
  if now >= till then
    return { 'late', fence and 1 or 0 }
  end
  if ARGV[6] ~= '1' and tonumber(ARGV[4]) ~= (fence and fence.left == 0 and fence.last or 0) then
    return { 'behind' }
  end
  if not epoch then
    begin_epoch(0)
  end
  fences[me] = { last = number, left = 0 }
end
local was_here = fence and 1 or 0

-- What was carried out before is answered, and not done again.
local function repeated(results)
  return { 'ok', now, epoch, version, tip, idle_ms, grace_ms, 0, 0, unpack(results) }
end
