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

if ARGV[3] == '1' and not epoch then
  return { 'lost' }
end
-- What the team remembers of the worker: its last number here, and 0 or since when nobody of it is here.
local was_here, last, left, after = 0, 0, '0', nil
local _, before = string.find(fences, ',"' .. me .. '",', 1, true)
if before then
  last, left, after = string.match(fences, '^(%d+),(%d+)()', before + 1)
  was_here, last = 1, tonumber(last)
end
had = before ~= nil and number <= last
if not had then
  if now >= till then
    return { 'late', was_here }
  end
  if ARGV[6] ~= '1' and tonumber(ARGV[4]) ~= (left == '0' and last or 0) then
    return { 'behind' }
  end
  if not epoch then
    -- A worker creates the epoch of a team nobody has ever used, or whose data is gone.
    epoch, tip, previous_tip = word, word, word
  end
  if before then
    fences = string.sub(fences, 1, before) .. ARGV[5] .. ',0' .. string.sub(fences, after)
  else
    fences = fences .. ',"' .. me .. '",' .. ARGV[5] .. ',0'
  end
end
