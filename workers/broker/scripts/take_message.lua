-- Take the next message of the first queue that has one, and record who has it. The record is [message, exchange,
-- routing key], for kombu's restore: no exchange, so it goes back to the queue it came from.
-- GIVEN KEYS: unacked, unacked_index, queues[]  messages that are taken, their index, the queues in the order of asking
-- ARGS: tag, taken_at              under which the message is recorded, and when
--       names[]                    of the queues, as JSON
-- RETURNS: {place of the queue, message}, or nil
for at, queue in ipairs(queues) do
  local message = redis.call('RPOP', queue)
  if message then
    redis.call('ZADD', unacked_index, taken_at, tag)
    redis.call('HSET', unacked, tag, '[' .. message .. ',"",' .. names[at] .. ']')
    return {at, message}
  end
end
return false
