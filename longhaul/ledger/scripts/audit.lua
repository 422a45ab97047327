-- What is wrong with records, each seen at one moment: an open one is in exactly one lane, the one that it names; an ended one in none.
-- ARGV: now, ids ...
-- Returns {id, what is wrong with it}, for those with which something is.
local lanes, answer = redis.call('SMEMBERS', space .. ':lanes'), {}
table.sort(lanes)
for at = 2, #ARGV do
  local id, within, fault = ARGV[at], {}, nil
  local found = redis.pcall('HMGET', record_of(id), 'state', 'lane', 'ended')
  for _, lane in ipairs(lanes) do
    if redis.call('ZSCORE', due_of(lane), id) then within[#within + 1] = lane end
  end
  local names = table.concat(within, ', ')
  if found.err then
    fault = 'its record is of another type'
  elseif redis.call('EXISTS', record_of(id)) == 0 then
    if #within > 0 then fault = 'in ' .. names .. ', without a record' end
  elseif TRANSITIONS[(found[1] or '') .. '>'] then
    if #within == 0 then fault = 'open, and in no lane'
    elseif #within > 1 then fault = 'in several lanes: ' .. names
    elseif within[1] ~= found[2] then fault = 'in ' .. names .. ', but its record names ' .. (found[2] or 'none') end
  elseif not found[3] then
    fault = 'its state is none'
  elseif #within > 0 then
    fault = 'ended, and still in ' .. names
  end
  if fault then answer[#answer + 1] = {id, fault} end
end
return answer
