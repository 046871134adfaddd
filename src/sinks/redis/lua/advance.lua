#!lua
-- advance: one chunk after a loss: floor, keys that are known, fence.
-- KEYS   1 state of the bucket; then the map of pages of every epoch that holds some digests or gets some; then pages of these
-- ARGV   1 lineage  2 incarnation  3 oldest  4 mark, as the chunk before left them ('': not there)
--        5 incarnation and 6 oldest that an empty bucket gets  7 mark to leave  8 floor, or ''
--        9 position of the fence as it was seen  10 fence to store, or ''
--        11 epochs as they were seen  12 with those that the keys add  13 digests, 15 bytes each  14 plan, msgpack
--        15... lineages whose fences must be END
-- reply  ok, incarnation, oldest, mark, parent, lost (Redis let go of a part of the bucket) or look (something is not as it
--        was seen), with the state: parts/state.lua
local seen = look(ARGV[1])
if (seen[1] or '') ~= ARGV[2] then
  return reply('incarnation', seen)
end
if (seen[2] or '') ~= ARGV[3] then
  return reply('oldest', seen)
end
if (seen[6] or '') ~= ARGV[4] then
  return reply('mark', seen)
end
for n = 15, #ARGV do
  if positionOf(call('HGET', KEYS[1], 'f:' .. ARGV[n])) ~= 'END' then
    return reply('parent', seen)
  end
end
if (seen[3] or '') ~= ARGV[11] or (ARGV[10] ~= '' and positionOf(seen[4]) ~= ARGV[9]) then
  return reply('look', seen)
end

local plan = cmsgpack.unpack(ARGV[14])
local pages, missing = readPages(2 + plan.epochs)
local mapOf, numberOf = placesOf(missing, plan.ends, 2)
if isPageLost(missing, mapOf, numberOf, 2, ARGV[12], ARGV[11]) then
  return reply('lost', seen)
end
local _, changed, added = sift(ARGV[13], plan, pages)

seen[1], seen[2], seen[6] = seen[1] or ARGV[5], seen[2] or ARGV[6], ARGV[7]
call('HSET', KEYS[1], 'i', seen[1], 'o', seen[2], 'h:' .. ARGV[1], seen[6])
if ARGV[8] ~= '' then
  if not seen[5] or tonumber(seen[5]) < tonumber(ARGV[8]) then
    seen[5] = ARGV[8]
  end
  call('HSET', KEYS[1], 'g:' .. ARGV[1], seen[5])
end
writePages(pages, changed, mapOf, numberOf)
if next(added) then
  seen[3] = writeEpochs(ARGV[11], ARGV[12], added)
end
if ARGV[10] ~= '' then
  call('HSET', KEYS[1], 'f:' .. ARGV[1], ARGV[10])
  seen[4] = ARGV[10]
end
return reply('ok', seen)
