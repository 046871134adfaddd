#!lua
-- apply: adds the records of one batch that are new to the cells of a bucket, and raises the fence of their lineage.
-- KEYS   1 state of the bucket; then the hashes of cells; then the map of pages of every epoch that holds some digests or gets
--        some; then pages of these epochs
-- ARGV   1 lineage  2 incarnation  3 oldest  4 position of the fence that the records were cropped by  5 fence to store, or ''
--        6 epochs as they were seen  7 with those that the records add  8 digests, 15 bytes each  9 plan, msgpack
--        10... fields of cells
-- plan   epochs, own, pages, ends: parts/digests.lua. groups: of each hash of cells its segment, number and cells. adds: record, cell, limb 0,
--        limb 1, ... large: the same with four limbs. others: parts/cells.lua
-- reply  ok, incarnation, lost (Redis let go of a part of the bucket) or look (something is not as it was seen), with the state: parts/state.lua
local seen = look(ARGV[1])
if seen[1] ~= ARGV[2] then
  return reply('incarnation', seen)
end
if not seen[4] or positionOf(seen[4]) ~= ARGV[4] or seen[2] ~= ARGV[3] or (seen[3] or '') ~= ARGV[6] then
  return reply('look', seen)
end

-- Reads, before the first write.
local FIELDS, NO_HASHES = 9, string.rep('0', 16)
local plan = cmsgpack.unpack(ARGV[9])
local groups = plan.groups
local maps = 2 + #groups
local pages, missing = readPages(maps + plan.epochs)
local mapOf, numberOf = placesOf(missing, plan.ends, maps)
if isPageLost(missing, mapOf, numberOf, maps, ARGV[7], ARGV[6]) then
  return reply('lost', seen)
end
local fresh, changed, added = sift(ARGV[8], plan, pages)
local sums, others = fold(plan, fresh)
local field = 's:' .. ARGV[1]
local segments = call('HGET', KEYS[1], field) or ''
local before, writes, held = segments, {}, {}
for n = 1, #groups do
  local segment, isNew = groups[n].segment, false
  writes[n], isNew = merged(KEYS[n + 1], groups[n].cells, FIELDS, sums, others)
  if isNew then
    local name, isLost = 'm:' .. ARGV[1] .. ' ' .. segment, false
    held[name] = held[name] or call('HGET', KEYS[1], name) or NO_HASHES
    held[name], isLost = withHash(held[name], groups[n].hash)
    if isLost then
      return reply('lost', seen)
    end
  end
  if #writes[n] > 0 and not string.find(' ' .. segments .. ' ', ' ' .. segment .. ' ', 1, true) then
    segments = segments == '' and segment or segments .. ' ' .. segment
  end
end

-- Writes. None can fail: memory was checked as the script began.
writePages(pages, changed, mapOf, numberOf)
for n = 1, #groups do
  writeCells(KEYS[n + 1], writes[n])
end
for name, hashes in pairs(held) do
  call('HSET', KEYS[1], name, hashes)
end
if segments ~= before then
  call('HSET', KEYS[1], field, segments)
end
if next(added) then
  seen[3] = writeEpochs(ARGV[6], ARGV[7], added)
end
if ARGV[5] ~= '' then
  call('HSET', KEYS[1], 'f:' .. ARGV[1], ARGV[5])
  seen[4] = ARGV[5]
end
return reply('ok', seen)
