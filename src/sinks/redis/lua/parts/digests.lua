-- Digests lie in pages: strings of 15 bytes a digest, the first byte being part of the page's name. All pages are read before
-- the first write, and a digest counts as known if any epoch holds it. A bit of each epoch's map says which of its pages there
-- are: one that Redis let go of is missed, and so is a map.
local WIDTH = 15
local find, sub = string.find, string.sub
-- Values that one call takes: Lua's stack is bounded.
local CHUNK = 2000

-- Answers the pages, and which of them are not there.
local function readPages(first)
  local pages, missing = {}, {}
  for from = first, #KEYS, CHUNK do
    local got = call('MGET', unpack(KEYS, from, math.min(from + CHUNK - 1, #KEYS)))
    for n = 1, #got do
      pages[from + n - 1] = got[n] or ''
      if not got[n] then
        missing[#missing + 1] = from + n - 1
      end
    end
  end
  return pages, missing
end

-- Where the bit of a page that is missing lies: which KEYS its map is, and its number there, at the end of its name. ends: of
-- each epoch, where its pages end in KEYS.
local function placesOf(missing, ends, maps)
  local mapOf, numberOf, epoch = {}, {}, 1
  for n = 1, #missing do
    local page = missing[n]
    while page > ends[epoch] do
      epoch = epoch + 1
    end
    local name = KEYS[page]
    mapOf[page] = maps + epoch - 1
    numberOf[page] = tonumber(sub(name, find(name, '.', 1, true) + 1), 36)
  end
  return mapOf, numberOf
end

local function hasEntry(epochs, index, known)
  for entry in string.gmatch(epochs, '%S+') do
    index = index - 1
    if index == 0 then
      return find(' ' .. known .. ' ', ' ' .. entry .. ' ', 1, true) ~= nil
    end
  end
end

-- Whether a page that is missing had been there. epochs: those of the maps; known: those that hold digests, hence have a map.
local function isPageLost(missing, mapOf, numberOf, maps, epochs, known)
  local at, map
  for n = 1, #missing do
    local page = missing[n]
    if mapOf[page] ~= at then
      at = mapOf[page]
      map = call('MGET', KEYS[at])[1]
      if not map and hasEntry(epochs, at - maps + 1, known) then
        return true
      end
    end
    local number = numberOf[page]
    local byte = map and string.byte(map, math.floor(number / 8) + 1)
    if byte and byte ~= 0 and bit.band(byte, bit.rshift(128, number % 8)) ~= 0 then
      return true
    end
  end
  return false
end

-- Bytes of two neighbours may look like a digest: only a hit that starts where one starts is one.
local function holds(page, digest)
  local at = find(page, digest, 1, true)
  while at and (at - 1) % WIDTH ~= 0 do
    at = find(page, digest, at + 1, true)
  end
  return at ~= nil
end

-- plan: epochs (how many), own (of each digest: which epoch keeps it), pages (of each digest and epoch: which KEYS).
-- Answers which digests are new, the pages that changed, and how many each epoch gets.
local function sift(digests, plan, pages)
  local fresh, changed, added = {}, {}, {}
  local epochs, own, places = plan.epochs, plan.own, plan.pages
  for n = 1, #own do
    local digest = sub(digests, (n - 1) * WIDTH + 1, n * WIDTH)
    local at, known = (n - 1) * epochs, false
    for epoch = 1, epochs do
      if holds(pages[places[at + epoch]], digest) then
        known = true
        break
      end
    end
    if not known then
      local page = places[at + own[n]]
      fresh[n] = true
      pages[page] = pages[page] .. digest
      changed[page] = true
      added[own[n]] = (added[own[n]] or 0) + 1
    end
  end
  return fresh, changed, added
end

-- mapOf, numberOf: of pages that are new, where their bits lie.
local function writePages(pages, changed, mapOf, numberOf)
  local pairsOf, bits = {}, {}
  for page in pairs(changed) do
    local map = mapOf[page]
    if map then
      local ops = bits[map] or {}
      local n = #ops
      bits[map] = ops
      ops[n + 1], ops[n + 2], ops[n + 3], ops[n + 4] = 'SET', 'u1', numberOf[page], 1
      if n >= CHUNK then
        call('BITFIELD', KEYS[map], unpack(ops))
        bits[map] = nil
      end
    end
    pairsOf[#pairsOf + 1] = KEYS[page]
    pairsOf[#pairsOf + 1] = pages[page]
    if #pairsOf >= CHUNK then
      call('MSET', unpack(pairsOf))
      pairsOf = {}
    end
  end
  if #pairsOf > 0 then
    call('MSET', unpack(pairsOf))
  end
  for map, ops in pairs(bits) do
    call('BITFIELD', KEYS[map], unpack(ops))
  end
end

-- Counts what was added; an epoch that got its first digest joins the epochs.
local function writeEpochs(known, wanted, added)
  local kept, n = {}, 0
  for entry in string.gmatch(wanted, '%S+') do
    n = n + 1
    if added[n] then
      call('HINCRBY', KEYS[1], 'n:' .. string.match(entry, '^%d+'), added[n])
    end
    if added[n] or string.find(' ' .. known .. ' ', ' ' .. entry .. ' ', 1, true) then
      kept[#kept + 1] = entry
    end
  end
  local epochs = table.concat(kept, ' ')
  if epochs ~= known then
    call('HSET', KEYS[1], 'e', epochs)
  end
  return epochs
end
