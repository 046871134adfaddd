-- Digests lie in pages: strings of 15 bytes a digest, the first byte being part of the page's name. All pages are read before
-- the first write, and a digest counts as known if any epoch holds it.
local WIDTH = 15
-- Values that one call takes: Lua's stack is bounded.
local CHUNK = 2000

local function readPages(first)
  local pages = {}
  for from = first, #KEYS, CHUNK do
    local got = call('MGET', unpack(KEYS, from, math.min(from + CHUNK - 1, #KEYS)))
    for n = 1, #got do
      pages[from + n - 1] = got[n] or ''
    end
  end
  return pages
end

local find, sub = string.find, string.sub

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

local function writePages(pages, changed)
  local pairsOf = {}
  for page in pairs(changed) do
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
