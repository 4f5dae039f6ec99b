-- Redis lost writes that workers had seen (a failover): begin an epoch, so that everyone compares everything.
-- ARGV     random word, epoch that was found wanting, highest version seen
word = ARGV[1]
had = epoch ~= ARGV[2]
if had then
  epoch = epoch or ''
  return finish({})
end
version = math.max(version, tonumber(ARGV[3]))
previous, epoch = version, word
return finish({}, '"begun":true')
