-- What a team remembers of workers that are there or were a short while ago, where they are more than the one that writes.

local function find_fence(worker)
  local _, before = string.find(fences, ',"' .. worker .. '",', 1, true)
  if before then
    local last, left, after = string.match(fences, '^(%d+),(%d+)()', before + 1)
    return before, tonumber(last), left, after
  end
end

local function forget_fence(worker)
  local before, _, _, after = find_fence(worker)
  if before then
    fences = string.sub(fences, 1, before - #worker - 4) .. string.sub(fences, after)
  end
end
