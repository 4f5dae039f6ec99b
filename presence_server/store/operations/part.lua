-- A worker has nobody in this team any more; it may come back with a higher number.
-- ARGV     worker, until, number before, number, epoch, version, tip (the mark the worker knows; epoch "" for none)
-- returns  a verdict alone: "ok", "late" or "behind"
local me, number = ARGV[1], tonumber(ARGV[4])
local fence = fences[me]
if not fence or number <= fence.last then
  return { 'ok' }
end
if now >= tonumber(ARGV[2]) then
  return { 'late', 1 }
end
local elsewhere = ARGV[5] ~= '' and (ARGV[5] ~= epoch or tonumber(ARGV[6]) ~= version or ARGV[7] ~= tip)
if fence.last ~= tonumber(ARGV[3]) or elsewhere then
  return { 'behind' }
end
fences[me] = { last = number, left = now }
save_mark()
return { 'ok' }
