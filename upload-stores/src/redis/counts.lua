-- What an owner has, at the head of each script that changes it.
-- KEYS[2]  the owner's index: upload id, by expiry in milliseconds since 1970
-- KEYS[3]  the owner's facts: 'code:bytes:size' of each upload id, and the sums n1, b1 (unfinished),
--          n2, b2 (waiting), n, b (all)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = {'n1', 'b1', 'n2', 'b2', 'n', 'b'}
local sums = {}
for at, sum in ipairs(redis.call('HMGET', KEYS[3], unpack(names))) do
  sums[names[at]] = tonumber(sum) or 0
end

local function whole(number)
  return string.format('%.0f', number)
end

local function add(sum, number)
  sums[sum] = math.max(0, sums[sum] + number)
end

local function count(sign, code, bytes, size)
  if code ~= '0' then
    add('n' .. code, sign)
    add('b' .. code, sign * bytes)
  end
  add('n', sign)
  add('b', sign * size)
end

-- The facts of an upload: code, bytes and size, or nothing.
local function facts_of(upload)
  local facts = redis.call('HGET', KEYS[3], upload)
  if facts then
    return string.match(facts, '^(%d):(%d+):(%d+)$')
  end
end

local function forget(upload)
  local code, bytes, size = facts_of(upload)
  if code then
    count(-1, code, bytes, size)
    redis.call('HDEL', KEYS[3], upload)
  end
  redis.call('ZREM', KEYS[2], upload)
end

-- Expired records that one call counts out at most: the server does nothing else meanwhile.
local forgotten_max = 200

-- Counts out some of what expired, and returns whether there may be more; Redis drops the records themselves.
local function forget_expired()
  local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, forgotten_max)
  for _, upload in ipairs(expired) do
    forget(upload)
  end
  return #expired == forgotten_max
end

-- Writes the sums; index and facts live as long as the longest record.
local function save()
  local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if not last[1] then
    redis.call('DEL', KEYS[2], KEYS[3])
    return
  end
  local fields = {}
  for _, name in ipairs(names) do
    table.insert(fields, name)
    table.insert(fields, whole(sums[name]))
  end
  redis.call('HSET', KEYS[3], unpack(fields))
  redis.call('PEXPIREAT', KEYS[2], last[2])
  redis.call('PEXPIREAT', KEYS[3], last[2])
end

