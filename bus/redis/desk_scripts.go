package redis

import (
	"github.com/redis/rueidis"
)

// What is kept in Redis of a shard: the stream of commands that nobody answered, each as a field "c", with its trip in ms as
// a second one where that is known, which builds before it was measured pass over; a hash beside it with
// bytes (of them), mark (the last that the present owner was handed; its tenure begins without one) and marks (those of
// owners before, the latest first); and the lease, whose value is the token of its holder. All three have one tag. Workers
// of a service are a hash from worker to "EXPIRY SHARDS INBOX HELD", see member.

// scripts are the steps that are one for Redis. They are never changed.
type scripts struct {
	ask, take, answer, lease, renew, release, present, leave, serving *rueidis.Lua
}

func newScripts() scripts {
	return scripts{
		ask: rueidis.NewLuaScript(askLua), take: rueidis.NewLuaScript(takeLua), answer: rueidis.NewLuaScript(answerLua),
		lease: rueidis.NewLuaScript(leaseLua), renew: rueidis.NewLuaScript(renewLua), release: rueidis.NewLuaScript(releaseLua),
		present: rueidis.NewLuaScript(presentLua), leave: rueidis.NewLuaScript(leaveLua), serving: rueidis.NewLuaScript(servingLua),
	}
}

// askLua takes commands in until one is beyond the bounds, rings the bell and returns how many it took.
// KEYS stream, state. ARGV most commands, most bytes, ms to keep, PUBLISH or SPUBLISH, bell, then the commands, each with its
// trip or "".
const askLua = `
local n = redis.call('XLEN', KEYS[1])
local held = 0
if n > 0 then held = tonumber(redis.call('HGET', KEYS[2], 'bytes') or '0') end
local most, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local took = 0
for i = 6, #ARGV, 2 do
  if n >= most or held + #ARGV[i] > room then break end
  if ARGV[i + 1] == '' then
    redis.call('XADD', KEYS[1], '*', 'c', ARGV[i])
  else
    redis.call('XADD', KEYS[1], '*', 'c', ARGV[i], 't', ARGV[i + 1])
  end
  n, held, took = n + 1, held + #ARGV[i], took + 1
end
if took > 0 then
  redis.call('HSET', KEYS[2], 'bytes', held)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  redis.pcall(ARGV[4], ARGV[5], '') -- a command that lies here must not be told as refused
end
return took`

// takeLua hands the holder what follows the last command it was handed, and notes how far that is. A holder whose note is
// not what stands here has outlived a part of the data, or the lease, and is told so: {0}. Otherwise {1, s, µs, id, command, trip, …}.
// KEYS lease, stream, state. ARGV token, last id, most commands, most bytes.
const takeLua = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
local after = ARGV[2]
if (redis.call('HGET', KEYS[3], 'mark') or '') ~= after then return {0} end
local now = redis.call('TIME')
local out = {1, now[1], now[2]}
local most, room = tonumber(ARGV[3]), tonumber(ARGV[4])
while most > 0 and room > 0 do
  local some = math.min(most, 16)
  local es = redis.call('XRANGE', KEYS[2], after == '' and '-' or '(' .. after, '+', 'COUNT', some)
  for i = 1, #es do
    if room <= 0 then break end
    after = es[i][1]
    out[#out + 1], out[#out + 2], out[#out + 3] = after, es[i][2][2], es[i][2][4] or ''
    room, most = room - #es[i][2][2], most - 1
  end
  if #es < some then break end
end
if after ~= ARGV[2] then redis.call('HSET', KEYS[3], 'mark', after) end
return out`

// answerLua removes commands. KEYS stream, state. ARGV id, bytes, id, bytes, …
const answerLua = `
local freed = 0
for i = 1, #ARGV, 2 do
  if redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then freed = freed + tonumber(ARGV[i + 1]) end
end
if freed > 0 then redis.call('HINCRBY', KEYS[2], 'bytes', -freed) end
return freed`

// leaseLua takes a lease that nobody has and begins a tenure: {1, marks of the tenures before}; or {0, ms until it ends}.
// KEYS lease, stream, state. ARGV token, ms.
const leaseLua = `
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return {0, redis.call('PTTL', KEYS[1])} end
if redis.call('XLEN', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[3])
  return {1, ''}
end
local marks = redis.call('HGET', KEYS[3], 'marks') or ''
local mark = redis.call('HGET', KEYS[3], 'mark')
if mark then
  marks = marks == '' and mark or mark .. ' ' .. marks
  if #marks > 1024 then marks = string.match(string.sub(marks, 1, 1024), '^(.*) ') end
  redis.call('HSET', KEYS[3], 'marks', marks)
  redis.call('HDEL', KEYS[3], 'mark')
end
return {1, marks}`

// renewLua makes a lease last on, if it is still the holder's, and keeps what lies in the shard. KEYS lease, stream, state.
// ARGV token, ms of the lease, ms to keep.
const renewLua = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return 1`

// releaseLua ends a lease, if it is still the holder's. KEYS lease. ARGV token.
const releaseLua = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

// othersLua lists the workers that live beside one, as {id, what it says of itself, …}, and forgets those that died.
const othersLua = `
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local all, out = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local till, says = string.match(all[i + 1], '^(%d+) (.*)$')
  if all[i] ~= ARGV[1] then
    if till and tonumber(till) > now then
      out[#out + 1], out[#out + 2] = all[i], says
    else
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
`

// presentLua says that a worker lives, and lists the others. It refuses one too many, and one that divides the service
// into another number of shards than those who live. KEYS workers. ARGV worker, ms it lives on, what it says of itself, its
// number of shards, most workers.
const presentLua = othersLua + `
if #out / 2 >= tonumber(ARGV[5]) then return redis.error_reply('CROWDED ' .. ARGV[5]) end
for i = 2, #out, 2 do
  local shards = string.match(out[i], '^(%d+) ')
  if shards and shards ~= ARGV[4] then return redis.error_reply('SHARDS ' .. shards) end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + tonumber(ARGV[2])) .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return out`

// leaveLua forgets a worker and lists the others. KEYS workers. ARGV worker.
const leaveLua = othersLua + `
redis.call('HDEL', KEYS[1], ARGV[1])
return out`

// servingLua is how many shards a service has by its workers; 0: none lives. KEYS workers.
const servingLua = `
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
local all = redis.call('HGETALL', KEYS[1])
for i = 2, #all, 2 do
  local till, shards = string.match(all[i], '^(%d+) (%d+) ')
  if till and tonumber(till) > now then return tonumber(shards) end
end
return 0`
