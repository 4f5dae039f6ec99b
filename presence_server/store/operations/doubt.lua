-- Somebody found workers in teams. On record for them? Otherwise what stands there is of a history that was lost, and is
-- buried a lease later: a ghost cannot outlive that.
-- ARGV     for each: worker, team, the last number seen of it there
for i = 1, #ARGV, 3 do
  local worker, team, seen = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  if not redis.call('ZSCORE', workers_key, worker) then
    -- It may be alive, and learn at its next claim that it has to go on under another name: no write of it lasts longer.
    local till = tonumber(redis.call('ZSCORE', dead_key, worker) or now + LEASE_MS)
    order_burial(team, worker, -1, till)
  elseif redis.call('SISMEMBER', of_key(worker), team) == 0 then
    order_burial(team, worker, seen, now + LEASE_MS)
  end
end
return 'ok'
