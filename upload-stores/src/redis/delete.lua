-- KEYS[1]  the record's key
-- ARGV[1]  the header expected there, '' for none
-- ARGV[2]  the upload id
-- Returns 1 if nothing is left there, 0 if something else was there.
if redis.call('GETRANGE', KEYS[1], 0, 8) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
forget(ARGV[2])
save()
return 1
