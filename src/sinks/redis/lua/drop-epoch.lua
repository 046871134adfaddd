#!lua flags=allow-oom
-- drop-epoch: forgets the digests of epochs up to one, if two newer hold digests and every floor is reached. Their pages are
-- freed behind this, a few at a time. Runs in a full Redis, because it is what empties it.
-- KEYS   1 state of the bucket
-- ARGV   1 epoch  2 the epoch behind it  3... lineage, floor, lineage, floor, ...
-- reply  1 or 0, incarnation, epochs that are forgotten and not yet freed
local function answer(dropped)
  return { dropped, call('HGET', KEYS[1], 'i'), call('HGET', KEYS[1], 'x') }
end
local oldest = call('HGET', KEYS[1], 'o')
local last = tonumber(ARGV[1])
if not oldest or last < tonumber(oldest) then
  return answer(0)
end
local forgotten = call('HGET', KEYS[1], 'x')
local kept, gone = {}, { forgotten or nil }
local counts = {}
for entry in string.gmatch(call('HGET', KEYS[1], 'e') or '', '%S+') do
  local epoch = string.match(entry, '^%d+')
  if tonumber(epoch) > last then
    kept[#kept + 1] = entry
  else
    gone[#gone + 1] = entry
    counts[#counts + 1] = 'n:' .. epoch
  end
end
if #kept < 2 then
  return answer(0)
end
for n = 3, #ARGV, 2 do
  if tonumber(call('HGET', KEYS[1], 'g:' .. ARGV[n]) or '0') < tonumber(ARGV[n + 1]) then
    return answer(0)
  end
end

call('HSET', KEYS[1], 'o', ARGV[2], 'e', table.concat(kept, ' '))
if #counts > 0 then
  call('HSET', KEYS[1], 'x', table.concat(gone, ' '))
  call('HDEL', KEYS[1], unpack(counts))
end
return answer(1)
