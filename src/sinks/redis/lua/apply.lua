#!lua
-- apply: adds the records of one batch that are new to the cells of a bucket, and raises the fence of their lineage.
-- KEYS   1 state of the bucket; then the hashes of cells; then pages of digests, of every epoch that holds some
-- ARGV   1 lineage  2 incarnation  3 oldest  4 position of the fence that the records were cropped by  5 fence to store, or ''
--        6 epochs as they were seen  7 with those that the records add  8 digests, 15 bytes each  9 plan, msgpack
--        10... fields of cells
-- plan   epochs, own, pages: parts/digests.lua. groups: of each hash of cells its segment and cells. adds: record, cell, limb 0,
--        limb 1, ... large: the same with four limbs. others: parts/cells.lua
-- reply  ok, incarnation or look (something is not as it was seen: nothing was written), with the state: parts/state.lua
local seen = look(ARGV[1])
if seen[1] ~= ARGV[2] then
  return reply('incarnation', seen)
end
if not seen[4] or positionOf(seen[4]) ~= ARGV[4] or seen[2] ~= ARGV[3] or (seen[3] or '') ~= ARGV[6] then
  return reply('look', seen)
end

-- Reads, before the first write.
local FIELDS = 9
local plan = cmsgpack.unpack(ARGV[9])
local groups = plan.groups
local pages = readPages(2 + #groups)
local fresh, changed, added = sift(ARGV[8], plan, pages)
local sums, others = fold(plan, fresh)
local field = 's:' .. ARGV[1]
local segments = call('HGET', KEYS[1], field) or ''
local before, writes = segments, {}
for n = 1, #groups do
  writes[n] = merged(KEYS[n + 1], groups[n].cells, FIELDS, sums, others)
  local segment = groups[n].segment
  if #writes[n] > 0 and not string.find(' ' .. segments .. ' ', ' ' .. segment .. ' ', 1, true) then
    segments = segments == '' and segment or segments .. ' ' .. segment
  end
end

-- Writes. None can fail: memory was checked as the script began.
writePages(pages, changed)
for n = 1, #groups do
  writeCells(KEYS[n + 1], writes[n])
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
