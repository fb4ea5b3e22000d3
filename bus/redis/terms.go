package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"carillon/backbone"

	"github.com/redis/rueidis"
)

const (
	// TermsEvery is how often a node says on which terms it lives.
	TermsEvery = 2 * time.Second
	// TermsFor is how long terms count as those of a node that lives, after it said so last.
	TermsFor = 7 * time.Second
	// MaxTerms is how many different terms are remembered; beyond it those that were said the longest ago are forgotten.
	MaxTerms = 64
)

// Terms keeps in Redis on what terms the nodes live: texts of settings that all of them should have alike. However many
// nodes there are, there is one entry for each text.
type Terms struct {
	b      *backbone.Backbone
	script *rueidis.Lua
}

// Term is what nodes said.
type Term struct {
	Text string
	Node string // who said it last, by the name it calls itself
	Said int64  // when it did, in ms by Redis' clock
}

// NewTerms makes a keeper of terms; nothing is said yet.
func NewTerms(b *backbone.Backbone) *Terms {
	return &Terms{b: b, script: rueidis.NewLuaScript(termsScript)}
}

// termsScript forgets what nobody said for ARGV[1] ms, and all but the newest ARGV[2]. It notes that node ARGV[3] says
// ARGV[4]; with ARGV[5] = 1 only if nothing else is said but what follows from ARGV[6] on. It returns whether it did, and of
// everything else that is said the text, who said it and when.
const termsScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function forget(texts)
	for _, text in ipairs(texts) do
		redis.call('ZREM', KEYS[1], text)
		redis.call('HDEL', KEYS[2], text)
	end
end
forget(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1]))
local known = {[ARGV[4]] = true}
for i = 6, #ARGV do
	known[ARGV[i]] = true
end
local said, strange = {}, false
local all = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
	if all[i] ~= ARGV[4] then
		strange = strange or not known[all[i]]
		said[#said + 1] = all[i]
		said[#said + 1] = redis.call('HGET', KEYS[2], all[i]) or ''
		said[#said + 1] = all[i + 1]
	end
end
if strange and ARGV[5] == '1' then
	return {'0', said}
end
redis.call('ZADD', KEYS[1], now, ARGV[4])
redis.call('HSET', KEYS[2], ARGV[4], ARGV[3])
forget(redis.call('ZRANGE', KEYS[1], 0, -1 - ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return {'1', said}`

var errTerms = errors.New("redis answered something else than the script of terms says")

// Enter notes that a node begins to live on some terms, unless others than those known are in force: of two nodes that
// begin at once with different ones, the second learns of the first. It returns whether it was noted, and all others in force.
func (t *Terms) Enter(ctx context.Context, node, text string, known []string) (entered bool, others []Term, err error) {
	return t.say(ctx, node, text, append([]string{"1"}, known...))
}

// Say notes that a node lives on some terms, and returns all others in force.
func (t *Terms) Say(ctx context.Context, node, text string) (others []Term, err error) {
	_, others, err = t.say(ctx, node, text, []string{"0"})
	return others, err
}

func (t *Terms) say(ctx context.Context, node, text string, more []string) (noted bool, others []Term, err error) {
	ctx, cancel := context.WithTimeout(ctx, backbone.CallTimeout)
	defer cancel()
	keys := []string{t.b.PartitionKey("terms", 0), t.b.PartitionKey("terms-by", 0)}
	args := append([]string{decimal(TermsFor.Milliseconds()), decimal(MaxTerms), node, text}, more...)
	answer, err := t.script.Exec(ctx, t.b.Client(), keys, args).ToArray()
	if err != nil {
		return false, nil, err
	}
	if len(answer) != 2 {
		return false, nil, errTerms
	}
	flag, err := answer[0].ToString()
	if err != nil {
		return false, nil, err
	}
	said, err := answer[1].AsStrSlice()
	for ; err == nil && len(said) >= 3; said = said[3:] {
		var at float64
		if at, err = strconv.ParseFloat(said[2], 64); err == nil {
			others = append(others, Term{Text: said[0], Node: said[1], Said: int64(at)})
		}
	}
	return flag == "1", others, err
}
