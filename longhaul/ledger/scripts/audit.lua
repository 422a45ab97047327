-- Find what is wrong with records, each seen at one moment: an open one is in exactly one lane, the one that it names;
-- an ended one in none.
-- ARGS: ids[]
-- KEYS: record, due, lanes
-- RETURNS: {id, what is wrong with it} for each with which something is
local lanes, answer = redis.call('SMEMBERS', key('lanes')), {}
table.sort(lanes)
for _, id in ipairs(ids) do
  local record, within, fault = key('record', id), {}, nil
  local found = redis.pcall('HMGET', record, 'state', 'lane', 'ended')
  for _, lane in ipairs(lanes) do
    if redis.call('ZSCORE', key('due', lane), id) then within[#within + 1] = lane end
  end
  local names = table.concat(within, ', ')
  if found.err then
    fault = 'its record is of another type'
  elseif redis.call('EXISTS', record) == 0 then
    if #within > 0 then fault = 'in ' .. names .. ', without a record' end
  elseif TRANSITIONS[(found[1] or '') .. '>'] then
    if #within == 0 then
      fault = 'open, and in no lane'
    elseif #within > 1 then
      fault = 'in several lanes: ' .. names
    elseif within[1] ~= found[2] then
      fault = 'in ' .. names .. ', but its record names ' .. (found[2] or 'none')
    end
  elseif not found[3] then
    fault = 'its state is none'
  elseif #within > 0 then
    fault = 'ended, and still in ' .. names
  end
  if fault then answer[#answer + 1] = {id, fault} end
end
return answer
