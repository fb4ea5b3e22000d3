package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

// What the roster keeps in Redis. Of each channel, under its partition's tag:
//
//	stays  hash  user -> "since|lost|told|,node,node,", times in ms: the nodes he is there by; since when by none; and which
//	             sweep is telling that he is gone. The field "" is the version of the channel.
//	roll   zset  its users, by name
//	watch  hash  node -> until when somebody there watches
//	turn   text  the node that wrote its value a moment ago
//
// The channel "" is spread over all partitions, by user, as one such channel each. Of each partition:
//
//	roster hash  gen: a number that is another one when all was lost; last: when any node was heard; grace: until when nobody
//	             is given up; n:NODE when it was heard; s:NODE its last step and what was answered; b:NODE when somebody began
//	             to take leave for it
//	away   zset  "channel NUL user" of stays that nobody is there for, by when they end
//	seen   zset  users who are gone, by when they were last connected
//	own.NODE set channels in which the node has entries
//
// All of it expires unless its nodes keep it.
type script struct{ text, sha string }

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text))
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}

// rosterScripts are the steps that are one for Redis. They are never changed.
type rosterScripts struct{ tell, shed, claim, end, touch, bury, due, look, version, turn, unwatch *script }

func newRosterScripts() rosterScripts {
	return rosterScripts{
		tell: newScript(stayLua + tellLua), shed: newScript(stayLua + shedLua), claim: newScript(stayLua + claimLua),
		end: newScript(stayLua + endLua), touch: newScript(touchLua), bury: newScript(buryLua), due: newScript(dueLua),
		look: newScript(lookLua), version: newScript(versionLua), turn: newScript(turnLua), unwatch: newScript(unwatchLua),
	}
}

// step is one call of a script.
type step struct {
	script *script
	keys   []string
	args   []string
}

// run sends steps together and returns the answers in order. A script that Redis does not know, or no more, is sent along.
func run(ctx context.Context, b *backbone.Backbone, all []step) []rueidis.RedisResult {
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	c := b.Client()
	cmds := make(rueidis.Commands, len(all))
	for i, s := range all {
		cmds[i] = c.B().Evalsha().Sha1(s.script.sha).Numkeys(int64(len(s.keys))).Key(s.keys...).Arg(s.args...).Build()
	}
	answers := c.DoMulti(ctx, cmds...)
	var unknown []int
	cmds = nil
	for i, a := range answers {
		if refusal, ok := rueidis.IsRedisErr(a.Error()); ok && refusal.IsNoScript() {
			s := all[i]
			unknown = append(unknown, i)
			cmds = append(cmds, c.B().Eval().Script(s.script.text).Numkeys(int64(len(s.keys))).Key(s.keys...).Arg(s.args...).Build())
		}
	}
	if len(unknown) > 0 {
		for i, a := range c.DoMulti(ctx, cmds...) {
			answers[unknown[i]] = a
		}
	}
	return answers
}

// stayLua begins every step that changes stays of one channel.
// KEYS roster, stays, roll, away, own, watch, seen. ARGV node, clock ahead by ms, debounce ms, channel, s to keep, most seen,
// s to keep those.
const stayLua = `
local node, name, debounce = ARGV[1], ARGV[4], tonumber(ARGV[3])
local t = redis.call('TIME')
local real = t[1] * 1000 + math.floor(t[2] / 1000)
local now = real + tonumber(ARGV[2])
local function int(n) return string.format('%.0f', n) end
local function load(u)
  local v = redis.call('HGET', KEYS[2], u)
  if not v then return nil end
  local since, lost, told, nodes = string.match(v, '^(-?%d+)|(%d*)|([^|]*)|(.*)$')
  if not since then return nil end
  return {since = since, lost = lost, told = told, nodes = nodes}
end
local function save(u, s)
  redis.call('HSET', KEYS[2], u, s.since .. '|' .. s.lost .. '|' .. s.told .. '|' .. s.nodes)
end
local function drop(s)
  local a, b = string.find(s.nodes, ',' .. node .. ',', 1, true)
  if not a then return false end
  s.nodes = string.sub(s.nodes, 1, a) .. string.sub(s.nodes, b + 1)
  return true
end
local function away(u, ends) redis.call('ZADD', KEYS[4], int(ends), name .. '\0' .. u) end
local function lose(u, s, at)
  s.lost, s.told = int(at), ''
  away(u, at + debounce)
  save(u, s)
end
local function gone(u, at)
  redis.call('HDEL', KEYS[2], u)
  redis.call('ZREM', KEYS[3], u)
  redis.call('ZREM', KEYS[4], name .. '\0' .. u)
  if name ~= '' then return end
  redis.call('ZADD', KEYS[7], 'GT', int(at), u)
  local over = redis.call('ZCARD', KEYS[7]) - tonumber(ARGV[6])
  if over > 0 then redis.call('ZREMRANGEBYRANK', KEYS[7], 0, over - 1) end
  redis.call('EXPIRE', KEYS[7], ARGV[7])
end
local function done(moved)
  if redis.call('ZCARD', KEYS[3]) == 0 then
    redis.call('DEL', KEYS[2])
    return
  end
  if moved then
    local v = tonumber(redis.call('HGET', KEYS[2], '') or '0')
    redis.call('HSET', KEYS[2], '', int(math.max(v + 1, t[1] * 1000000 + t[2])))
  end
  for i = 2, 4 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
end
`

// tellLua notes what a node has to say of users in a channel, in order: e he is there, s he left surely, l the last line was
// lost, r it was lost before all was forgotten. {0}: Redis and the node do not know the same of each other. Otherwise
// {1, for each whether he was the first or the last, whether somebody watches}. A step that is repeated changes nothing and
// gets the answer it got.
// ARGV behind those of stayLua: number of the step, then kind, user, since, ms ago, …
const tellLua = `
local last = redis.call('HGET', KEYS[1], 's:' .. node)
if not last or not redis.call('HGET', KEYS[1], 'gen') then return {0} end
local watched = redis.call('EXISTS', KEYS[6])
local number, said = string.match(last, '^(%d+)|(.*)$')
if number == ARGV[8] then return {1, said, watched} end
if tonumber(number) + 1 ~= tonumber(ARGV[8]) then return {0} end
local turns, moved, own = {}, false, false
for i = 9, #ARGV, 4 do
  local kind, u, since, ago = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local s, turn = load(u), false
  if kind == 'e' then
    own = true
    if not s then
      s, turn = {since = since, lost = '', told = '', nodes = ',' .. node .. ','}, true
      redis.call('ZADD', KEYS[3], 0, u)
      save(u, s)
    elseif s.lost ~= '' then
      redis.call('ZREM', KEYS[4], name .. '\0' .. u)
      if s.told ~= '' then s.since, turn = since, true end
      s.lost, s.told, s.nodes = '', '', ',' .. node .. ','
      save(u, s)
    elseif not string.find(s.nodes, ',' .. node .. ',', 1, true) then
      s.nodes = s.nodes .. node .. ','
      save(u, s)
    end
  elseif kind == 'r' then
    if not s then
      redis.call('ZADD', KEYS[3], 0, u)
      lose(u, {since = since, nodes = ','}, now - ago)
      moved = true
    end
  elseif s and drop(s) then
    if s.nodes ~= ',' then
      save(u, s)
    elseif kind == 's' then
      gone(u, now)
      turn = true
    else
      lose(u, s, now - ago)
    end
  end
  moved = moved or turn
  turns[#turns + 1] = turn and '1' or '0'
end
done(moved)
if own then
  redis.call('SADD', KEYS[5], name)
  redis.call('EXPIRE', KEYS[5], ARGV[5])
end
said = table.concat(turns)
redis.call('HSET', KEYS[1], 's:' .. node, ARGV[8] .. '|' .. said)
return {1, said, watched}`

// shedLua takes the leave of all users a node has in a channel, some at a call: as of when it was last heard if it is dead,
// now if it takes its own. Returns where to go on, "0" at the end, "" if it lives.
// ARGV behind those of stayLua: cursor, ms after which a node is dead or "".
const shedLua = `
local lost = now
if ARGV[9] ~= '' then
  local heard = tonumber(redis.call('HGET', KEYS[1], 'n:' .. node) or '')
  if heard and real - heard <= tonumber(ARGV[9]) then return '' end
  if heard then lost = heard + tonumber(ARGV[2]) end
end
local page = redis.call('HSCAN', KEYS[2], ARGV[8], 'COUNT', 200)
for i = 1, #page[2], 2 do
  local u = page[2][i]
  local s = u ~= '' and load(u) or nil
  if s and drop(s) then
    if s.nodes == ',' then lose(u, s, lost) else save(u, s) end
  end
end
if page[1] == '0' then redis.call('SREM', KEYS[5], name) end
return page[1]`

// claimLua marks stays whose time is over as being told, for a while. Returns whether somebody watches, then user, since and
// lost of each. Who came back in between is not among them.
// ARGV behind those of stayLua: who tells, ms to do it in, then users.
const claimLua = `
local out = {tostring(redis.call('EXISTS', KEYS[6]))}
for i = 10, #ARGV do
  local u = ARGV[i]
  local s, ends = load(u), redis.call('ZSCORE', KEYS[4], name .. '\0' .. u)
  if ends and (not s or s.lost == '') then
    redis.call('ZREM', KEYS[4], name .. '\0' .. u)
  elseif ends and tonumber(ends) <= now then
    s.told = ARGV[8]
    save(u, s)
    away(u, now + tonumber(ARGV[9]))
    out[#out + 1], out[#out + 2], out[#out + 3] = u, s.since, s.lost
  end
end
return out`

// endLua forgets stays that were told to be over, unless the user came back meanwhile.
// ARGV behind those of stayLua: who told, then users.
const endLua = `
local moved = false
for i = 9, #ARGV do
  local s = load(ARGV[i])
  if s and s.told == ARGV[8] then
    gone(ARGV[i], tonumber(s.lost))
    moved = true
  end
end
done(moved)
return moved and 1 or 0`

// touchLua says that a node lives and tells it what it has to know of a partition: {gen, 1 if its entries have to be put down
// anew, nodes that live, a dead one to take leave for, …}. Nobody is given up for a while after nobody at all was heard, and
// after all was lost: then Redis was away, not they.
// KEYS roster. ARGV node, a new gen, ms after which a node is dead, gen as the node knows it, numbers of its steps from
// and to one of which was the last, s to keep.
const touchLua = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local node, dead = ARGV[1], tonumber(ARGV[3])
local all, lives, out = {}, {}, {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
local gen = all['gen'] or ARGV[2]
local grace = tonumber(all['grace'] or '0')
local idle = all['last'] and now - tonumber(all['last']) > dead * 2 / 3
if idle or ARGV[4] ~= '' and not all['gen'] then grace = now + dead end
local heard = tonumber(all['n:' .. node] or '0')
local number = tonumber(string.match(all['s:' .. node] or '', '^(%d+)|') or '-1')
local anew = gen ~= ARGV[4] or now - heard > dead or number < tonumber(ARGV[5]) or number > tonumber(ARGV[6])
for field, at in pairs(all) do
  local other = string.match(field, '^n:(.*)$')
  if other and other ~= node then
    if now - tonumber(at) <= dead then
      lives[#lives + 1] = other
    elseif grace <= now and now - tonumber(all['b:' .. other] or '0') > dead / 3 then
      redis.call('HSET', KEYS[1], 'b:' .. other, string.format('%.0f', now))
      out[#out + 1] = other
    end
  end
end
local at = string.format('%.0f', now)
redis.call('HSET', KEYS[1], 'gen', gen, 'last', at, 'grace', string.format('%.0f', grace), 'n:' .. node, at)
if anew then redis.call('HSET', KEYS[1], 's:' .. node, ARGV[6] .. '|') end
redis.call('EXPIRE', KEYS[1], ARGV[7])
return {gen, anew and 1 or 0, table.concat(lives, ','), unpack(out)}`

// buryLua forgets a dead node that has no entry left. KEYS roster, own. ARGV node, ms after which it is dead.
const buryLua = `
local t = redis.call('TIME')
local heard = tonumber(redis.call('HGET', KEYS[1], 'n:' .. ARGV[1]) or '0')
if t[1] * 1000 + math.floor(t[2] / 1000) - heard <= tonumber(ARGV[2]) or redis.call('SCARD', KEYS[2]) > 0 then return 0 end
return redis.call('HDEL', KEYS[1], 'n:' .. ARGV[1], 's:' .. ARGV[1], 'b:' .. ARGV[1])`

// dueLua lists stays whose time is over. KEYS roster, away. ARGV clock ahead by ms, most.
const dueLua = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if tonumber(redis.call('HGET', KEYS[1], 'grace') or '0') > now then return {} end
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now + tonumber(ARGV[1])), 'LIMIT', 0, ARGV[2])`

// lookLua lists users: {how many in all, version, user, stay, …}. KEYS roster, stays, roll. ARGV user they come after, most.
const lookLua = `
local out = {redis.call('ZCARD', KEYS[3]), redis.call('HGET', KEYS[2], '') or redis.call('HGET', KEYS[1], 'gen') or '0'}
local least = '-'
if ARGV[1] ~= '' then least = '(' .. ARGV[1] end
local us = redis.call('ZRANGEBYLEX', KEYS[3], least, '+', 'LIMIT', 0, ARGV[2])
for i = 1, #us do
  out[#out + 1], out[#out + 2] = us[i], redis.call('HGET', KEYS[2], us[i]) or ''
end
return out`

// versionLua tells the version of a channel and, with ms above 0, marks it as watched for that long.
// KEYS roster, stays, watch. ARGV node, ms.
const versionLua = `
local ms = tonumber(ARGV[2])
if ms > 0 then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[3], ARGV[1], string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ms))
  redis.call('PEXPIRE', KEYS[3], ms)
end
return redis.call('HGET', KEYS[2], '') or redis.call('HGET', KEYS[1], 'gen') or '0'`

// turnLua gives a turn: 0, or for how many ms it is another's. KEYS turn. ARGV node, ms.
const turnLua = `
local who = redis.call('GET', KEYS[1])
if who and who ~= ARGV[1] then return math.max(1, redis.call('PTTL', KEYS[1])) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0`

// unwatchLua takes a mark back; 1 if there is no other. KEYS watch. ARGV node.
const unwatchLua = `
local t = redis.call('TIME')
local now, others = t[1] * 1000 + math.floor(t[2] / 1000), 0
redis.call('HDEL', KEYS[1], ARGV[1])
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  if tonumber(flat[i + 1]) > now then others = others + 1 else redis.call('HDEL', KEYS[1], flat[i]) end
end
return others == 0 and 1 or 0`
