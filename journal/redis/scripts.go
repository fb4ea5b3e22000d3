package redis

import (
	"context"
	"crypto/sha1"
	_ "embed" // the scripts
	"encoding/hex"
	"strconv"

	"github.com/redis/rueidis"
)

var (
	//go:embed prelude.lua
	prelude string
	//go:embed append.lua
	appendText string
	//go:embed read.lua
	readText string
	//go:embed heads.lua
	headsText string
	//go:embed latest.lua
	latestText string

	appendScript = newScript(appendText)
	readScript   = newScript(readText)
	headsScript  = newScript(headsText)
	latestScript = newScript(latestText)
)

// script runs in one step within Redis, which knows it by its digest.
type script struct{ text, sha string }

func newScript(text string) script {
	text = prelude + text
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// call is what a script is run with.
type call struct{ keys, args []string }

func (s script) known(c rueidis.Client, a call) rueidis.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(a.keys))).Key(a.keys...).Arg(a.args...).Build()
}

func (s script) whole(c rueidis.Client, a call) rueidis.Completed {
	return c.B().Eval().Script(s.text).Numkeys(int64(len(a.keys))).Key(a.keys...).Arg(a.args...).Build()
}

// run runs the script once; a server that does not know it gets its text.
func (s script) run(ctx context.Context, c rueidis.Client, a call) rueidis.RedisResult {
	r := c.Do(ctx, s.known(c, a))
	if missing(r) {
		r = c.Do(ctx, s.whole(c, a))
	}
	return r
}

// runAll runs it for each call, side by side.
func (s script) runAll(ctx context.Context, c rueidis.Client, calls []call) []rueidis.RedisResult {
	if len(calls) == 0 {
		return nil
	}
	all := make([]rueidis.Completed, len(calls))
	for i, a := range calls {
		all[i] = s.known(c, a)
	}
	rs := c.DoMulti(ctx, all...)
	for i := range rs {
		if missing(rs[i]) {
			rs[i] = c.Do(ctx, s.whole(c, calls[i]))
		}
	}
	return rs
}

func missing(r rueidis.RedisResult) bool {
	refusal, ok := rueidis.IsRedisErr(r.Error())
	return ok && refusal.IsNoScript()
}

// now is the clock as scripts take it: microseconds, or "" for that of Redis.
func (j *Journal) now() string {
	if j.clock == nil {
		return ""
	}
	return strconv.FormatInt(j.clock().UnixMicro(), 10)
}
