#!lua flags=allow-oom
-- forget: an incarnation of the bucket is over, and the bucket empty; another one is left as it is. What the incarnation held has
-- names of its own that nothing reads any more: they are listed under a key beside the state, and freed behind this.
-- KEYS   1 state of the bucket  2 what is left of the incarnation
-- ARGV   1 incarnation
-- reply  fields and values of what is left, as in a state
if call('HGET', KEYS[1], 'i') == ARGV[1] then
  local all = call('HGETALL', KEYS[1])
  for n = 1, #all, 2 do
    call('HSET', KEYS[2], all[n], all[n + 1])
  end
  call('UNLINK', KEYS[1])
end
return call('HGETALL', KEYS[2])
