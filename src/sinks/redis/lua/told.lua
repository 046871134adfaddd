#!lua flags=allow-oom
-- told: the latest beat of the database that anybody has told of.
-- KEYS   1 where it is kept, for all buckets
-- ARGV   1 beat
-- reply  the latest one by now
local last = tonumber(redis.call('HGET', KEYS[1], 'beat') or '0')
if tonumber(ARGV[1]) > last then
  redis.call('HSET', KEYS[1], 'beat', ARGV[1])
  return ARGV[1]
end
return tostring(last)
