-- Redis lost writes that workers had seen (a failover): begin an epoch, so that everyone compares everything.
-- input    [epoch that was found wanting, highest version seen]
if epoch == input[1] then
  version = math.max(version, input[2])
  first_version = version
  epoch = config.word
  redis.call('HSET', meta_key, 'epoch', epoch)
  return finish({}, { begun = true })
end
return finish({})
