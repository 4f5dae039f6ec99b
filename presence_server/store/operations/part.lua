-- A worker has nobody in this team any more; it may come back with a higher number.
-- ARGV     worker, until, number before, number, epoch, version, tip (the mark the worker knows; epoch "" for none)
-- returns  a verdict alone: "ok", "late" or "behind"
local me, number = ARGV[1], tonumber(ARGV[4])
local before, last, _, after = find_fence(me)
if not before or number <= last then
  return { 'ok' }
end
if now >= tonumber(ARGV[2]) then
  return { 'late', 1 }
end
local elsewhere = ARGV[5] ~= '' and (ARGV[5] ~= epoch or tonumber(ARGV[6]) ~= version or ARGV[7] ~= tip)
if last ~= tonumber(ARGV[3]) or elsewhere then
  return { 'behind' }
end
fences = string.sub(fences, 1, before) .. number .. ',' .. now .. string.sub(fences, after)
return finish({})
