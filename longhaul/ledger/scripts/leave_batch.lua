-- Give a batch's token back, whether the batch has claimed or not.
-- ARGS: step, token
-- KEYS: started, working
-- RETURNS: nothing
redis.call('ZREM', key('started', step), token)
redis.call('ZREM', key('working', step), token)
