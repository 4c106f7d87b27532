-- KEYS[1]  the record's key
-- ARGV[1]  the header expected there, '' for none
-- ARGV[2]  the new value: a header of 18 bytes, then the record
-- ARGV[3]  time to live in milliseconds
-- ARGV[4]  the upload id
-- ARGV[5]  what the record counts as: 0 nothing, 1 unfinished, 2 waiting
-- ARGV[6]  its declared bytes
-- ARGV[7]  the bytes that the record takes up
-- ARGV[8]  the most records of the owner that count as this one, '' for no limit
-- ARGV[9]  the most declared bytes of them
-- ARGV[10] the most bytes of unfinished and waiting records together
-- Returns 1 if the value is stored, 0 if something else was there, 2 if it is over the limit, and 3 if it is over
-- the limit with what expired and is not counted out yet: then the call is to be made again.
-- A version is never used twice, so finding the new one means that this very call came before and
-- its answer was lost.
local found = redis.call('GETRANGE', KEYS[1], 0, 8)
if found ~= ARGV[1] and found ~= string.sub(ARGV[2], 1, 9) then
  return 0
end
local is_more = forget_expired()
local code, bytes, size = facts_of(ARGV[4])
if code and found == '' then
  -- Redis removed the record before its time.
  forget(ARGV[4])
  code = nil
end
if ARGV[8] ~= '' and ARGV[5] ~= '0' then
  local records_before, bytes_before = sums['n' .. ARGV[5]], sums['b' .. ARGV[5]]
  local records_after, bytes_after = records_before + 1, bytes_before + ARGV[6]
  if code == ARGV[5] then
    records_after, bytes_after = records_after - 1, bytes_after - bytes
  end
  local stored_before, stored_max = sums['b1'] + sums['b2'], tonumber(ARGV[10])
  local stored_after = stored_before + ARGV[6]
  local counted = code and code ~= '0'
  if counted then
    stored_after = stored_after - bytes
  end
  if (records_after > tonumber(ARGV[8]) and records_after > records_before)
    or (bytes_after > tonumber(ARGV[9]) and bytes_after > bytes_before)
    or (stored_after > stored_max and stored_after > stored_before)
    or (not counted and stored_before >= stored_max) then
    save()
    return is_more and 3 or 2
  end
end
local expires = whole(now + ARGV[3])
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', expires)
if code then
  count(-1, code, bytes, size)
end
count(1, ARGV[5], ARGV[6], ARGV[7])
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5] .. ':' .. ARGV[6] .. ':' .. ARGV[7])
redis.call('ZADD', KEYS[2], expires, ARGV[4])
save()
return 1
