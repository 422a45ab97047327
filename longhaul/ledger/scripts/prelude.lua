-- Functions that stand before every script. The loader writes `space`, the beginning of every key, before them.

-- The key of a family: `<space>:record:<id>`, `<space>:due:<lane>`, `<space>:books`.
local beginning = space .. ':'
local function key(family, name)
  if name then return beginning .. family .. ':' .. name end
  return beginning .. family
end

-- One clock for every worker: the server's, unless the caller (a test) brings its own time.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local function seconds(time) return string.format('%.3f', time) end

-- Make a record due in a lane.
local function place(id, lane, time)
  redis.call('ZADD', key('due', lane), seconds(time), id)
  redis.call('SADD', key('lanes'), lane)
end
