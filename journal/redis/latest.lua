-- The table of a channel. KEYS: cell, state, entries, order. ARGV: clock, epoch if missing, age bound in ms or 0.
-- Reply: epoch, rev, then the forms by rev.

local now = math.floor(clock(ARGV[1]) / 1000)
local epoch = cell(now, ARGV[2])
local m = load(redis.call('GET', KEYS[2]), KEYS[2], epoch)
local age = tonumber(ARGV[3])
local reply = {epoch, m[REV]}
if m[ENTRIES] > 0 then
  local members = redis.call('ZRANGE', KEYS[4], 0, -1)
  for i = 1, #members, 128 do
    local vs = redis.call('HMGET', KEYS[3], unpack(members, i, math.min(i + 127, #members)))
    for _, v in ipairs(vs) do
      if v and (age == 0 or now - struct.unpack('>I8', v, 51) < age) then reply[#reply + 1] = string.sub(v, 5) end
    end
  end
end
return reply
