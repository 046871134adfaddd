#!lua flags=allow-oom
-- freed: what a field lists as forgotten is freed. Another list stands there if more was forgotten meanwhile: it stays.
-- KEYS   1 state of the bucket
-- ARGV   1 field  2 the list that was freed
-- reply  how many fields were removed
if call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
return call('HDEL', KEYS[1], ARGV[1])
