-- KEYS[1]  the record's key
-- ARGV[1]  the header expected there, '' for none
-- ARGV[2]  the new value: a header of 9 bytes, then the record
-- ARGV[3]  time to live in milliseconds
-- Returns 1 if the value is stored, 0 if something else was there.
-- A header is never used twice, so finding the new one means that this very call came before and
-- its answer was lost.
local found = redis.call('GETRANGE', KEYS[1], 0, 8)
if found ~= ARGV[1] and found ~= string.sub(ARGV[2], 1, 9) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
