-- Where a stream ends: { position, chain }, or {} when it has no entry.
--
-- KEYS[1]  the stream
-- ARGV     1 a position that the caller knows to have been the top; '' for none
-- Returns  1 when nothing lies behind that position
--
-- In Lua so that the events of the last pack (some 100 KB under load) stay in
-- the server, and with the known position so that they are not even copied.
if ARGV[1] ~= '' and redis.call('EXISTS', KEYS[1]) == 1 then
  if #redis.call('XREVRANGE', KEYS[1], '+', '(' .. ARGV[1] .. '-0', 'COUNT', 1) == 0 then
    return 1
  end
end
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not top then
  return {}
end
return { string.match(top[1], '^%d+'), top[2][4] }
