#!lua flags=no-writes
-- read: the state of a bucket and the cells that match, as of one moment.
-- KEYS   1 state of the bucket; then hashes of cells: those of the segments that were seen, the reader looks again if there are others
-- ARGV   1 tenant or ''  2 meter or ''  3 from and 4 to minute, or ''
-- reply  state as field, value, ...; then of each hash field, value, ..., or nil where it is not there
local byTenant = ARGV[1] .. '\0'
local from, to = tonumber(ARGV[3]) or -math.huge, tonumber(ARGV[4]) or math.huge

local function matches(field)
  if ARGV[1] ~= '' and string.sub(field, 1, #byTenant) ~= byTenant then
    return false
  end
  local meter, minute = string.match(field, '^[^%z]*%z([^%z]*)%z(%-?%d+)%z')
  minute = tonumber(minute)
  return (ARGV[2] == '' or meter == ARGV[2]) and minute >= from and minute < to
end

local answer = { call('HGETALL', KEYS[1]) }
for n = 2, #KEYS do
  local all, chosen = call('HGETALL', KEYS[n]), {}
  for at = 1, #all, 2 do
    if matches(all[at]) then
      chosen[#chosen + 1] = all[at]
      chosen[#chosen + 1] = all[at + 1]
    end
  end
  answer[n] = #all > 0 and chosen
end
return answer
