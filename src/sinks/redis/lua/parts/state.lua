-- The state of a bucket is one hash: i incarnation, o oldest epoch, e epochs that hold digests (`epoch/bits`, ascending),
-- n:EPOCH how many, f:LINEAGE fence (`arrival rules position`), g:LINEAGE floor, h:LINEAGE mark, s:LINEAGE segments with cells;
-- m:LINEAGE SEGMENT which of the segment's hashes of cells there are, as 16 hex digits; x and y:LINEAGE what is forgotten and
-- not yet freed. Strings are compared for equality only: `<` follows the server's locale.
local call = redis.call

local function look(lineage)
  return call('HMGET', KEYS[1], 'i', 'o', 'e', 'f:' .. lineage, 'g:' .. lineage, 'h:' .. lineage)
end

local function positionOf(fence)
  return fence and string.match(fence, '^%d+ %d+ (.*)$') or ''
end

-- What a reply says of a bucket: a code, then incarnation, oldest, epochs, fence, floor, mark.
local function reply(code, seen)
  table.insert(seen, 1, code)
  return seen
end
