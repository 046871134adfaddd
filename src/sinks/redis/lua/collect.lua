#!lua flags=allow-oom
-- collect: forgets cells of segments below the cut and raises the floor. What was forgotten cannot be read any more; its
-- hashes are freed behind this, a few at a time. Runs in a full Redis, because it is what empties it.
-- KEYS   1 state of the bucket
-- ARGV   1 lineage  2 cut
-- reply  incarnation, segments that are forgotten and not yet freed
local floor = call('HGET', KEYS[1], 'g:' .. ARGV[1])
local segments = call('HGET', KEYS[1], 's:' .. ARGV[1]) or ''
local field = 'y:' .. ARGV[1]
local forgotten = call('HGET', KEYS[1], field)
if tonumber(floor or '0') < tonumber(ARGV[2]) then
  local kept, gone, maps = {}, { forgotten or nil }, {}
  for segment in string.gmatch(segments, '%S+') do
    if tonumber(segment) < tonumber(ARGV[2]) then
      gone[#gone + 1], maps[#maps + 1] = segment, 'm:' .. ARGV[1] .. ' ' .. segment
    else
      kept[#kept + 1] = segment
    end
  end
  for n = 1, #maps do
    call('HDEL', KEYS[1], maps[n])
  end
  call('HSET', KEYS[1], 'g:' .. ARGV[1], ARGV[2])
  if #gone > 0 then
    forgotten = table.concat(gone, ' ')
    call('HSET', KEYS[1], field, forgotten)
    if #kept > 0 then
      call('HSET', KEYS[1], 's:' .. ARGV[1], table.concat(kept, ' '))
    else
      call('HDEL', KEYS[1], 's:' .. ARGV[1])
    end
  end
end
return { call('HGET', KEYS[1], 'i'), forgotten }
