-- What all scripts share. Numbers in keys are big-endian; epochs, tags and hashes stay strings of bytes, since a number
-- of Lua holds 53 bits. Offsets, sizes and clocks stay far below that.
--
-- KEYS[1] is the cell: epoch, generation of the id maps, when it began, since when ids are known (ms).
-- A log's state: see META. Its stream holds one entry for each record, with the offset as id and one value: the bytes
-- of all bodies before it (8), then the form that package backbone describes.

local ZERO = '\0\0\0\0\0\0\0\0'
local CELL = '>c8I8I8I8'

-- Places in a log's state: the epoch it belongs to, tag and offset of its head, its last time (ms), bytes of all bodies
-- ever, offset, time and bytes before the oldest entry of its stream, when the stream's expiry was set, the highest rev,
-- entries and bytes of its table, when the table's expiry was set.
local META = '>c8c8I8I8I8I8I8I8I8I8I8I8I8'
local EPOCH, TAG, OFF, MS, SUM, LOW, LOWMS, LOWSUM, FRESH, REV, ENTRIES, WEIGHT, TFRESH = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13

-- Places in a stream's value, from 1.
local TAGAT, PREVAT, TIMEAT = 31, 39, 55

-- A log that was forgotten begins with another tag than before, as long as its state is kept for one PERIOD at least.
local PERIOD = 30 * 24 * 3600 * 1000

local function word(n) return struct.pack('>I8', n) end

-- The first eight bytes of a digest.
local function digest(s)
  local hex = redis.sha1hex(s)
  return struct.pack('>I4I4', tonumber(string.sub(hex, 1, 8), 16), tonumber(string.sub(hex, 9, 16), 16))
end

-- Microseconds since 1970: those of the caller if he gave any.
local function clock(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- The cell; seed becomes the epoch of one that is missing.
local function cell(now, seed)
  local s = redis.call('GET', KEYS[1])
  if s then return struct.unpack(CELL, s) end
  redis.call('SET', KEYS[1], struct.pack(CELL, seed, 1, now, now))
  return seed, 1, now, now
end

-- The tag that a log without a state begins with: the same for everybody who asks within a PERIOD, whose begin differs
-- from log to log; another one in every epoch.
local function base(key, epoch)
  local t = redis.call('TIME')
  local phase = tonumber(string.sub(redis.sha1hex(key), 1, 8), 16)
  local period = math.floor((t[1] * 1000 + phase % PERIOD) / PERIOD)
  return digest(epoch .. word(period) .. key)
end

-- A log's state, and whether there was one. What belongs to another epoch is lost.
local function load(s, key, epoch)
  if s and string.sub(s, 1, 8) == epoch then return {struct.unpack(META, s)}, true end
  return {epoch, base(key, epoch), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false
end

-- The value of the entry at an offset.
local function entry(stream, off)
  local id = string.format('%.0f', off)
  local e = redis.call('XRANGE', stream, id, id)
  return e[1] and e[1][2][2]
end

-- The offset before the oldest record that is kept within n records, b bytes of bodies and a ms. The newest falls to age
-- alone. Sums and times only grow along a log, so halving finds it.
local function cut(stream, m, now, n, b, a)
  local low, off = m[LOW], m[OFF]
  if n > 0 and off - n > low then low = off - n end
  local function out(i)
    local v = entry(stream, i)
    if not v then return true end
    if b > 0 and i < off and m[SUM] - struct.unpack('>I8', v) > b then return true end
    return a > 0 and now - struct.unpack('>I8', v, TIMEAT) >= a
  end
  if low >= off or not out(low + 1) then return low end
  local gone, kept = low + 1, off + 1
  while kept - gone > 1 do
    local mid = math.floor((gone + kept) / 2)
    if out(mid) then gone = mid else kept = mid end
  end
  return gone
end
