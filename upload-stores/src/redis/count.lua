-- KEYS[1]  not used
-- Returns the owner's sums.
forget_expired()
save()
local answer = {}
for at, name in ipairs(names) do
  answer[at] = whole(sums[name])
end
return answer
