-- Redis lost writes that workers had seen (a failover): begin an epoch, so that everyone compares everything.
-- ARGV     random word, epoch that was found wanting, highest version seen
word = ARGV[1]
if epoch == ARGV[2] then
  version = math.max(version, tonumber(ARGV[3]))
  first_version, epoch = version, word
  return finish({}, '"begun":true')
end
return { 'ok', now, epoch or '', version, tip, idle_ms, grace_ms, 0, 0 }
