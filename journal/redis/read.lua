-- One page of a log, with its head, from one moment.
--
-- KEYS: cell, state, stream. ARGV: clock, epoch if missing, bounds of the log, '1' for backwards, records at most, bytes at
-- most, epoch and offset to begin at (zero: none).
-- Reply: epoch, tag and offset of the head, tag and offset before the oldest, tag at the offset asked for or '', whether
-- there is more, then values of the stream in the order read. The page may be one record too long in bytes.

local now = math.floor(clock(ARGV[1]) / 1000)
local epoch = cell(now, ARGV[2])
local m = load(redis.call('GET', KEYS[2]), KEYS[2], epoch)
local stream, off = KEYS[3], m[OFF]
local n, b, a = struct.unpack('>I8I8I8', ARGV[3])
local back, limit, most = ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
local asked, after = ARGV[7], tonumber(ARGV[8])

local low, lowtag = cut(stream, m, now, n, b, a), m[TAG]
if low < off then lowtag = string.sub(entry(stream, low + 1), PREVAT, PREVAT + 7) end
local tag, first, last = '', low + 1, off
if asked == epoch then
  if after > low and after < off then tag = string.sub(entry(stream, after) or '', TAGAT, TAGAT + 7) end
  if after > off or back and after < low then
    last = low
  elseif back then
    last = after
  elseif after >= low then
    first = after + 1
  end
elseif asked ~= ZERO and back then
  last = low
end

local reply = {epoch, m[TAG], off, lowtag, low, tag, 0}
local begin, some, stop = nil, 4, false
while first <= last and not stop do
  -- What is read beyond the bytes of the page is read in vain, so it grows with what was found to fit.
  local count = math.min(some, limit)
  some = math.min(2 * some, 128)
  local es
  if back then
    es = redis.call('XREVRANGE', stream, string.format('%.0f', last), string.format('%.0f', first), 'COUNT', count)
  else
    es = redis.call('XRANGE', stream, string.format('%.0f', first), string.format('%.0f', last), 'COUNT', count)
  end
  if #es == 0 then break end
  for _, e in ipairs(es) do
    local v = e[2][2]
    local sum = struct.unpack('>I8', v)
    begin = begin or sum
    if math.abs(sum - begin) > most or limit == 0 then
      stop = true
      break
    end
    limit = limit - 1
    reply[#reply + 1] = v
    if back then last = last - 1 else first = first + 1 end
  end
  if limit == 0 then break end
end
if first <= last then reply[7] = 1 end
return reply
