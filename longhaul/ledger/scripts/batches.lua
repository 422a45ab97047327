-- Functions for the tokens of batches. A token is in `started` from the dispatch of its batch to its first claim, then
-- in `working`. Its score is when the batch is given up for lost.

local function drop_lost_batches(step, now)
  redis.call('ZREMRANGEBYSCORE', key('started', step), '-inf', seconds(now))
  redis.call('ZREMRANGEBYSCORE', key('working', step), '-inf', seconds(now))
end

local function start_batch(step, name, lost_at)
  local token = name .. '#' .. redis.call('INCR', key('serial'))
  redis.call('ZADD', key('started', step), seconds(lost_at), token)
  return token
end

-- A claim calls this before all other writes: where memory is out, it is refused, and nothing is claimed that could not
-- be ended.
local function enter_batch(step, token, lost_at)
  redis.call('ZADD', key('working', step), seconds(lost_at), token)
  redis.call('ZREM', key('started', step), token)
end

-- How many of these tokens each lane has; a token is `<lane>#<number>`.
local function count_by_lane(tokens)
  local counts = {}
  for _, token in ipairs(tokens) do
    local lane = token:match('^(.*)#')
    counts[lane] = (counts[lane] or 0) + 1
  end
  return counts
end
