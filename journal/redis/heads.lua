-- Heads of logs. KEYS: cell, states. ARGV: clock, epoch if missing. Reply: epoch, then tag and offset of each.

local epoch = cell(math.floor(clock(ARGV[1]) / 1000), ARGV[2])
local reply = {epoch}
if #KEYS > 1 then
  for i, s in ipairs(redis.call('MGET', unpack(KEYS, 2))) do
    local m = load(s, KEYS[i + 1], epoch)
    reply[2 * i], reply[2 * i + 1] = m[TAG], m[OFF]
  end
end
return reply
