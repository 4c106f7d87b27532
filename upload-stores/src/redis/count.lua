-- KEYS[1]  not used
-- Returns the owner's sums, and then 1 if more expired than one call counts out.
local is_more = forget_expired()
save()
local answer = {}
for at, name in ipairs(names) do
  answer[at] = whole(sums[name])
end
table.insert(answer, is_more and '1' or '0')
return answer
