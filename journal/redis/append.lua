-- Makes records true and tells of them: one step for a batch of records, grouped by channel.
--
-- KEYS: the cell, three maps of ids, then for each group: state, stream, and if it has a table: entries, order, held.
-- ARGV: clock in µs or '', a random epoch, most ids in a map, PUBLISH or SPUBLISH, '1' if the records are wanted back,
-- all ids in the order of their records (16 bytes each), then the groups: see unpacking below.
-- Reply: epoch, '' or why an announcement failed, then for each group 17 bytes a record: outcome, offset, tag; and if
-- wanted a string of all that was announced.

local GENERATION = 5 * 60 * 1000 -- ids are gathered in one map for so long, and kept for as long again
local SLACK = 2000               -- what the age of a sending may be too low, since it travelled after it was written
local IDLIFE = 36 * GENERATION   -- expiry of a map nobody turns; longer than clocks are set forward
local REFRESH = 30 * 1000        -- how old an expiry may be before it is set again; expiries are longer by twice this
local TRIM = 16384               -- records dropped in one step at most
local DONE, REUSE, UNKNOWN, AGAIN = '\0', '\1', '\2', '\3'

local us = clock(ARGV[1])
local now = math.floor(us / 1000)
local epoch, generation, began, since = cell(now, ARGV[2])
local verb, wanted, ids = ARGV[4], ARGV[5] == '1', ARGV[6]

-- Answers to the ids of this batch that are known.
local known, young, fresh, size = {}, nil, {}, 0
if ids ~= '' then
  local function map(g) return KEYS[2 + g % 3] end
  size = redis.call('HLEN', map(generation))
  local turned = now < began
  if turned then
    -- The clock was set back, by so much at least, and with it what was noted by it.
    since, began = math.max(since - (began - now), 0), now
  end
  if now - began >= GENERATION or size >= tonumber(ARGV[3]) then
    local last = began
    generation, began, turned = generation + 1, now, true
    redis.call('UNLINK', map(generation))
    if size == 0 and now - last >= 2 * GENERATION then
      -- The young map has expired; nothing entered it after its time.
      since = last + GENERATION + SLACK
    elseif generation > 2 then
      since = last + SLACK
    end
    redis.call('PEXPIRE', map(generation - 1), IDLIFE)
    size = 0
  end
  if turned then redis.call('SET', KEYS[1], struct.pack(CELL, epoch, generation, began, since)) end
  young = map(generation)
  local list = {}
  for i = 1, #ids, 16 do list[#list + 1] = string.sub(ids, i, i + 15) end
  local a = size > 0 and redis.call('HMGET', young, unpack(list)) or {}
  local b = redis.call('HMGET', map(generation - 1), unpack(list))
  for i, id in ipairs(list) do known[id] = a[i] or b[i] or nil end
end

-- Sets the expiry of keys that live for so many ms (0: no end), unless it was set lately, at last; returns when it was.
local function renew(keys, life, last)
  if life == 0 and last == 0 or life > 0 and now >= last and now - last < REFRESH then return last end
  for _, k in ipairs(keys) do
    if life == 0 then redis.call('PERSIST', k) else redis.call('PEXPIRE', k, life + 2 * REFRESH) end
  end
  return life > 0 and now or 0
end

-- Tables of Latest records, for the batches that have any: most do without these functions. Returns the one that makes a
-- Latest record true: t has the keys and bounds of a table, m is the state of its channel.
local function tables()
  local function nextrev(m)
    m[REV] = math.max(m[REV] + 1, us)
    return word(m[REV])
  end

  -- A value of a table is the length of the body (4) and the form.
  local function timeof(v) return (struct.unpack('>I8', v, 51)) end

  -- Takes an entry out of the table and announces that; v is its value.
  local function delete(t, m, member, v, out)
    local body = struct.unpack('>I4', v)
    redis.call('HDEL', t.entries, member)
    redis.call('ZREM', t.order, member)
    m[ENTRIES], m[WEIGHT] = m[ENTRIES] - 1, m[WEIGHT] - body
    local user = string.sub(member, 3, 2 + struct.unpack('>I2', member))
    if user ~= '' and redis.call('HINCRBY', t.held, user, -1) <= 0 then redis.call('HDEL', t.held, user) end
    local behind = string.sub(v, 59, #v - body)
    out[#out + 1] = struct.pack('>I4', 50 + #behind) .. string.sub(v, 9, 9) .. '\1'
      .. epoch .. ZERO .. ZERO .. ZERO .. nextrev(m) .. word(m[MS]) .. behind
  end

  -- The user's entry with the lowest rev.
  local function oldest(t, user)
    local head = struct.pack('>I2', #user) .. user
    for i = 0, 1e9, 64 do
      local members = redis.call('ZRANGE', t.order, i, i + 63)
      if #members == 0 then return nil end
      for _, member in ipairs(members) do
        if string.sub(member, 1, #head) == head then return member end
      end
    end
  end

  -- Deletes what is beyond the bounds: of a user with too many his own, then the lowest revs.
  local function thin(t, m, user, out)
    while user ~= '' and t.each > 0 and tonumber(redis.call('HGET', t.held, user) or 0) > t.each do
      local member = oldest(t, user)
      local v = member and redis.call('HGET', t.entries, member)
      if not v then break end
      delete(t, m, member, v, out)
    end
    while m[ENTRIES] > 0 do
      local member = redis.call('ZRANGE', t.order, 0, 0)[1]
      local v = member and redis.call('HGET', t.entries, member)
      if not v then break end
      local over = t.n > 0 and m[ENTRIES] > math.max(t.n, 1) or t.b > 0 and m[WEIGHT] > t.b and m[ENTRIES] > 1
        or t.a > 0 and m[MS] - timeof(v) >= t.a
      if not over then break end
      delete(t, m, member, v, out)
    end
  end

  -- Makes a Latest record true; without a body it deletes. Returns whether anything changed.
  local function set(t, m, before, behind, body, out)
    local at = 9 -- behind the origin: lengths and bytes of name, from and key
    at = at + 1 + struct.unpack('>B', behind, at)
    local long = struct.unpack('>I2', behind, at)
    local user = string.sub(behind, at + 2, at + 1 + long)
    at = at + 2 + long
    local key = string.sub(behind, at + 2, at + 1 + struct.unpack('>I2', behind, at))
    local member = struct.pack('>I2', #user) .. user .. key
    if redis.call('ZCARD', t.order) ~= m[ENTRIES] or m[ENTRIES] == 0 then -- it expired, or is none of this state's
      redis.call('UNLINK', t.entries, t.order, t.held)
      m[ENTRIES], m[WEIGHT] = 0, 0
    end
    local v = redis.call('HGET', t.entries, member)
    if body == 0 and not v then return false end
    m[MS] = math.max(m[MS], now)
    if body == 0 then
      delete(t, m, member, v, out)
    else
      if v then
        m[ENTRIES], m[WEIGHT] = m[ENTRIES] - 1, m[WEIGHT] - struct.unpack('>I4', v)
      else
        m[TFRESH] = 0 -- it may make keys anew
        if user ~= '' then redis.call('HINCRBY', t.held, user, 1) end
      end
      local form = before .. epoch .. ZERO .. ZERO .. ZERO .. nextrev(m) .. word(m[MS]) .. behind
      redis.call('HSET', t.entries, member, struct.pack('>I4', body) .. form)
      redis.call('ZADD', t.order, m[REV], member)
      m[ENTRIES], m[WEIGHT] = m[ENTRIES] + 1, m[WEIGHT] + body
      out[#out + 1] = form
    end
    thin(t, m, user, out)
    if m[ENTRIES] > 0 then m[TFRESH] = renew({t.entries, t.order, t.held}, t.life, m[TFRESH]) end
    return true
  end

  return set
end

-- Logs.

-- Makes a Logged record true.
local function log(stream, m, before, behind, body, hash, out)
  m[MS] = math.max(m[MS], now)
  if m[LOW] == m[OFF] then m[LOWMS], m[LOWSUM] = m[MS], m[SUM] end
  local off, prev = m[OFF] + 1, m[TAG]
  local place = word(off)
  m[OFF], m[TAG] = off, digest(prev .. place .. hash)
  local form = before .. epoch .. place .. m[TAG] .. prev .. ZERO .. word(m[MS]) .. behind
  redis.call('XADD', stream, string.format('%.0f-0', off), 'r', word(m[SUM]) .. form)
  m[SUM] = m[SUM] + body
  out[#out + 1] = form
end

-- Drops entries once an eighth more than what is kept lies in the stream; readers see what is kept and no more.
local function trim(stream, m, n, b, a)
  if not (n > 0 and m[OFF] - m[LOW] > n + math.floor(n / 8) or b > 0 and m[SUM] - m[LOWSUM] > b + math.floor(b / 8)
    or a > 0 and now - m[LOWMS] >= a + math.floor(a / 8)) then return end
  local low = math.min(cut(stream, m, now, n, b, a), m[LOW] + TRIM)
  if low == m[LOW] then return end
  redis.call('XTRIM', stream, 'MINID', string.format('%.0f-0', low + 1))
  local v = entry(stream, low + 1)
  m[LOW], m[LOWMS], m[LOWSUM] = low, m[MS], m[SUM]
  if v then m[LOWMS], m[LOWSUM] = struct.unpack('>I8', v, TIMEAT), struct.unpack('>I8', v) end
end

local reply = {epoch, ''}
local arg, key, nextid, set = 7, 5, 1, nil
while arg <= #ARGV do
  -- Records in the group; bounds of the log; lives of stream, state and table in ms (0: no end); 1 if the table is used.
  local count, n, b, a, streamlife, life, tablelife, tabled = struct.unpack('>I4I8I8I8I8I8I8B', ARGV[arg])
  local subject, state, stream, t = ARGV[arg + 1], KEYS[key], KEYS[key + 1], nil
  arg, key = arg + 2, key + 2
  if tabled == 1 then
    t = {entries = KEYS[key], order = KEYS[key + 1], held = KEYS[key + 2], life = tablelife}
    t.n, t.b, t.a, t.each = struct.unpack('>I8I8I8I8', ARGV[arg])
    arg, key, set = arg + 1, key + 3, set or tables()
  end
  local m, was = load(redis.call('GET', state), state, epoch)
  local outcomes, out, logged, changed = {}, {}, false, false
  for i = 1, count do
    -- What it is (1 Latest, 2 binary, 4 with an id), age in ms, bytes and hash of the body, the form before its place.
    local kind, age, body, hash, before = struct.unpack('>BI8I4c20c6', ARGV[arg])
    local behind = ARGV[arg + 1]
    arg = arg + 2
    local latest, id, first = kind % 2 == 1, nil, nil
    local check = string.char(kind % 4) .. hash
    if kind >= 4 then
      id = string.sub(ids, nextid, nextid + 15)
      first, nextid = known[id], nextid + 16
    end
    if first then
      outcomes[i] = string.sub(first, 1, 21) == check and AGAIN .. string.sub(first, 22) or REUSE .. ZERO .. ZERO
    elseif id and age > 0 and now - age < since then
      outcomes[i] = UNKNOWN .. ZERO .. ZERO
    else
      local at
      if latest then
        changed = set(t, m, before, behind, body, out) or changed
        at = ZERO .. ZERO
      else
        if not was and not logged then redis.call('UNLINK', stream) end
        log(stream, m, before, behind, body, hash, out)
        logged, changed, at = true, true, word(m[OFF]) .. m[TAG]
      end
      outcomes[i] = DONE .. at
      if id then
        known[id] = check .. at
        fresh[#fresh + 1] = id
        fresh[#fresh + 1] = known[id]
      end
    end
  end
  if logged then
    trim(stream, m, n, b, a)
    m[FRESH] = renew({stream}, streamlife, m[FRESH])
  end
  if changed then
    -- The state outlives what hangs on it.
    if m[ENTRIES] > 0 then life = life > 0 and tablelife > 0 and math.max(life, tablelife) or 0 end
    local s = struct.pack(META, unpack(m))
    if life > 0 then redis.call('SET', state, s, 'PX', life + 2 * REFRESH) else redis.call('SET', state, s) end
  end
  reply[#reply + 1] = table.concat(outcomes)
  local all = table.concat(out)
  if wanted then reply[#reply + 1] = all end
  if #out > 0 then
    -- What is true stays true whether or not it can be told.
    local told = redis.pcall(verb, subject, all)
    if type(told) == 'table' and told.err then reply[2] = told.err end
  end
end

if #fresh > 0 then
  redis.call('HSET', young, unpack(fresh))
  if size == 0 then redis.call('PEXPIRE', young, IDLIFE) end
end
return reply
