-- A cell is one value in msgpack: {count, limb 0, limb 1, ...} where only numbers are added, else a map with these as `c`, and
-- n least, x greatest, o and v latest by its order, d members or h registers of a unique count, r readings of a gauge.
-- Limbs are base 10^12 and carry the sign. Lua counts in doubles, which are exact below 2^53: a limb is carried before that.
local BASE, ROOM = 1e12, 4e15

local function carry(sums, n)
  while sums[n] do
    local limb = sums[n]
    if limb >= BASE or limb <= -BASE then
      local rest = math.fmod(limb, BASE)
      sums[n] = rest
      sums[n + 1] = (sums[n + 1] or 0) + (limb - rest) / BASE
    end
    n = n + 1
  end
end

-- Adds limbs of a flat list from one place on to sums; carries long before a double could round.
local function addLimbs(sums, list, from, to)
  sums[1] = sums[1] + 1
  for n = from, to do
    local limb = n - from + 2
    local sum = (sums[limb] or 0) + list[n]
    sums[limb] = sum
    if sum >= ROOM or sum <= -ROOM then
      carry(sums, limb)
    end
  end
end

local function mergeSums(sums, more)
  for n = 1, #more do
    sums[n] = (sums[n] or 0) + more[n]
  end
  carry(sums, 2)
  while #sums > 1 and sums[#sums] == 0 do
    sums[#sums] = nil
  end
end

-- Byte by byte: `<` follows the server's locale.
local function less(a, b)
  for n = 1, math.min(#a, #b) do
    local x, y = string.byte(a, n), string.byte(b, n)
    if x ~= y then
      return x < y
    end
  end
  return #a < #b
end

-- The 64 bits of a member as (register, rank), as domain/distinct.ts has them.
local function place(member, at)
  local b = { string.byte(member, at, at + 7) }
  local rest = b[2] % 16
  for n = 3, 8 do
    rest = rest * 256 + b[n]
  end
  local _, bits = math.frexp(rest)
  return b[1] * 16 + math.floor(b[2] / 16) + 1, rest == 0 and 52 or math.min(52, 53 - bits)
end

local function registersOf(text)
  local registers = {}
  for from = 1, 4096, 256 do
    local slice = { string.byte(text, from, from + 255) }
    for n = 1, 256 do
      registers[from + n - 1] = slice[n] or 0
    end
  end
  return registers
end

local function textOf(registers)
  local slices = {}
  for from = 1, 4096, 256 do
    slices[#slices + 1] = string.char(unpack(registers, from, from + 255))
  end
  return table.concat(slices)
end

local function addMember(cell, member)
  if not cell.registers and not cell.members then
    cell.members, cell.list = {}, {}
    for at = 1, #(cell.d or ''), 8 do
      local known = string.sub(cell.d, at, at + 7)
      cell.members[known] = true
      cell.list[#cell.list + 1] = known
    end
    if cell.h then
      cell.registers = registersOf(cell.h)
    end
  end
  if not cell.registers and not cell.members[member] then
    cell.members[member] = true
    cell.list[#cell.list + 1] = member
    if #cell.list > 1000 then
      cell.registers = registersOf('')
      for n = 1, #cell.list do
        local index, rank = place(cell.list[n], 1)
        cell.registers[index] = math.max(cell.registers[index], rank)
      end
    end
  elseif cell.registers then
    local index, rank = place(member, 1)
    cell.registers[index] = math.max(cell.registers[index], rank)
  end
end

-- Readings are flat: second, order, value.
local function addReading(cell, second, order, value)
  local readings = cell.r or {}
  cell.r = readings
  for n = 1, #readings, 3 do
    if readings[n] == second then
      if less(readings[n + 1], order) then
        readings[n + 1], readings[n + 2] = order, value
      end
      return
    end
  end
  local n = #readings
  readings[n + 1], readings[n + 2], readings[n + 3] = second, order, value
end

-- What is no sum, by its letter: {record, cell, letter, ...}.
local merge = {
  n = function(cell, one)
    if not cell.n or less(one[4], cell.n) then
      cell.n = one[4]
    end
  end,
  x = function(cell, one)
    if not cell.x or less(cell.x, one[4]) then
      cell.x = one[4]
    end
  end,
  o = function(cell, one)
    if not cell.o or less(cell.o, one[4]) then
      cell.o, cell.v = one[4], one[5]
    end
  end,
  d = function(cell, one)
    addMember(cell, one[4])
  end,
  r = function(cell, one)
    addReading(cell, one[4], one[5], one[6])
  end,
}

local function unpackCell(value)
  if not value then
    return { c = { 0 } }
  end
  local cell = cmsgpack.unpack(value)
  return cell.c and cell or { c = cell }
end

local function packCell(cell)
  if cell.registers then
    cell.h, cell.d = textOf(cell.registers), nil
  elseif cell.list then
    cell.d = table.concat(cell.list)
  end
  cell.registers, cell.members, cell.list = nil, nil, nil
  local sums = cell.c
  cell.c = nil
  if next(cell) == nil then
    return cmsgpack.pack(sums)
  end
  cell.c = sums
  return cmsgpack.pack(cell)
end

-- What the new records add, by cell: sums, and a list of what is no sum.
local function fold(plan, fresh)
  local sums, others = {}, {}
  local function sumOf(cell)
    local sum = sums[cell]
    if not sum then
      sum = { 0 }
      sums[cell] = sum
    end
    return sum
  end
  local function add(list, width)
    for n = 1, #list, width + 2 do
      if fresh[list[n]] then
        addLimbs(sumOf(list[n + 1]), list, n + 2, n + 1 + width)
      end
    end
  end
  add(plan.adds, 2)
  add(plan.large, 4)
  for n = 1, #plan.others do
    local one = plan.others[n]
    if fresh[one[1]] then
      local sum = sumOf(one[2])
      sum[1] = sum[1] + 1
      others[one[2]] = others[one[2]] or {}
      table.insert(others[one[2]], one)
    end
  end
  return sums, others
end

-- Which hashes of a segment there are, with one more; and whether it was among them.
local function withHash(held, hash)
  local at = math.floor(hash / 4) + 1
  local digit, one = tonumber(string.sub(held, at, at), 16), bit.lshift(1, hash % 4)
  if bit.band(digit, one) ~= 0 then
    return held, true
  end
  return string.sub(held, 1, at - 1) .. string.format('%x', digit + one) .. string.sub(held, at + 1), false
end

-- Merges what was folded into the cells of one hash. Answers field, value, ... to write, and whether the hash is not there.
local function merged(key, cells, fields, sums, others)
  local isNew = true
  local touched, names = {}, {}
  for n = 1, #cells do
    if sums[cells[n]] then
      touched[#touched + 1] = cells[n]
      names[#names + 1] = fields + cells[n]
    end
  end
  local writes = {}
  for from = 1, #touched, CHUNK do
    local wanted = {}
    for n = from, math.min(from + CHUNK - 1, #touched) do
      wanted[#wanted + 1] = ARGV[names[n]]
    end
    local values = call('HMGET', key, unpack(wanted))
    for n = 1, #values do
      isNew = isNew and not values[n]
      local cell = unpackCell(values[n])
      local index = touched[from + n - 1]
      mergeSums(cell.c, sums[index])
      for m = 1, #(others[index] or {}) do
        local one = others[index][m]
        merge[one[3]](cell, one)
      end
      writes[#writes + 1] = wanted[n]
      writes[#writes + 1] = packCell(cell)
    end
  end
  return writes, isNew and #writes > 0 and call('EXISTS', key) == 0
end

local function writeCells(key, writes)
  for from = 1, #writes, CHUNK do
    call('HSET', key, unpack(writes, from, math.min(from + CHUNK - 1, #writes)))
  end
end
