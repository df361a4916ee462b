-- Where a stream begins: its first position, or '' when it has no entry.
--
-- KEYS[1]  the stream
--
-- In Lua so that the events of the first pack stay in the server.
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then
  return ''
end
return first[2][2]
