-- Append a pack to a stream if the stream ends exactly where the caller thinks it does.
--
-- KEYS[1]  the stream
-- ARGV     1 previous position, 2 previous chain,
--          3 '1' to begin a missing stream after the previous position, else '0',
--          4 first position, 5 last position, 6 chain after it, 7 the events,
--          8 the chains before the first event and after each
-- Returns  { 1 when appended else 0, position of the top, chain of the top }
--
-- Positions stay texts: a Lua number is exact only up to 2^53.
local stream = KEYS[1]
local NOTHING, NO_CHAIN = '0-0', string.rep('\0', 16)

local top = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
local id, chain = NOTHING, NO_CHAIN
if top then
  id, chain = top[1], top[2][4] -- the value of the second field, c
end

local may_begin = not top and ARGV[3] == '1'
if not may_begin and (id ~= ARGV[1] .. '-0' or chain ~= ARGV[2]) then
  return { 0, string.match(id, '^%d+'), chain }
end

local added = redis.pcall(
  'XADD', stream, ARGV[5] .. '-0', 'f', ARGV[4], 'c', ARGV[6], 'e', ARGV[7], 'h', ARGV[8]
)
if added.err and string.find(added.err, 'equal or smaller', 1, true) then
  -- Entries were deleted by hand, and the stream's own counter never goes back.
  -- The stream is a copy: throw it away, and the relay fills it from the log.
  redis.call('DEL', stream)
  return { 0, '0', NO_CHAIN }
end
if added.err then
  return added
end
return { 1, ARGV[5], ARGV[6] }
