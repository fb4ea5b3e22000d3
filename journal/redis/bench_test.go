package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/backbone"
	"carillon/channel"
	"carillon/internal/servertest"
)

const benchFlight = 64 // records under way

// BenchmarkAppend appends with 64 records under way to one Redis, each with an id and waiting for its own done, to one and to
// 64 channels, and next to it has redis-benchmark run the same script with arguments of the same length, one record a call,
// 64 calls under way. The ratio is what counts: both shared the machine with the same server.
func BenchmarkAppend(b *testing.B) {
	server := servertest.StartRedis(b, servertest.RedisNone...)
	j := benchJournal(b, server.URL())
	for _, channels := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			names := make([]channel.Name, channels)
			for i := range names {
				names[i] = channel.Name(fmt.Sprintf("bench%d:%d", channels, i))
			}
			began, spent := time.Now(), cpu(server)
			appendAll(b, j, names, b.N)
			ours := float64(b.N) / time.Since(began).Seconds()
			b.ReportMetric(ours, "records/s")
			b.ReportMetric(float64((cpu(server)-spent).Nanoseconds())/1000/float64(b.N), "redis-cpu-µs/record")
			if b.N < 10_000 {
				return
			}
			b.StopTimer()
			theirs := 0.0
			for _, shape := range [][2]string{{"64", "1"}, {"8", "8"}, {"1", "64"}} {
				theirs = max(theirs, redisBenchmark(b, server, j, shape[0], shape[1], min(b.N, 100_000)))
			}
			b.ReportMetric(theirs, "redis-benchmark/s")
			b.ReportMetric(ours/theirs, "ratio")
		})
	}
}

func benchJournal(b *testing.B, url string) *Journal {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	bone, err := backbone.Open(ctx, backbone.Options{URL: url})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(bone.Close)
	j, err := Open(ctx, Options{Backbone: bone})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(j.Close)
	return j
}

func benchRecord(n channel.Name, id string) channel.Record {
	return channel.Record{Channel: n, From: "user-1234", ID: id, Origin: 77, Body: []byte(`{"text":"a message of the length that people write to one another","n":12345}`)}
}

// appendAll keeps benchFlight records under way until count are answered.
func appendAll(b *testing.B, j *Journal, names []channel.Name, count int) {
	b.Helper()
	var flying sync.WaitGroup
	free := make(chan struct{}, benchFlight)
	for i := range count {
		free <- struct{}{}
		flying.Add(1)
		j.Append(benchRecord(names[i%len(names)], strconv.Itoa(i)), func(_ channel.Position, err error) {
			if err != nil {
				b.Error(err)
			}
			<-free
			flying.Done()
		})
	}
	flying.Wait()
}

var requestsPerSecond = regexp.MustCompile(`([0-9.]+) requests per second`)

// redisBenchmark is how many records a second redis-benchmark has made true by the journal's script. It takes arguments without
// zero bytes alone: the real ones stand in the text of the script, others of the same length are sent, and only
// the id is new in every call.
func redisBenchmark(b *testing.B, server *servertest.Redis, j *Journal, clients, pipeline string, count int) float64 {
	b.Helper()
	r := benchRecord("bench:peer", "1")
	call := j.batch(0, []entry{{record: r, hash: channel.BodyHash(r.Body), id: keyOf(&r)}}).call
	var text strings.Builder
	text.WriteString("local sent = ARGV\nlocal ARGV = {")
	args := []string{"EVALSHA", "", strconv.Itoa(len(call.keys))}
	args = append(args, call.keys...)
	for i, a := range call.args {
		if i == 5 {
			text.WriteString("sent[6],")
			args = append(args, "abcd__rand_int__") // as long as an id
			continue
		}
		text.WriteString(luaText(a) + ",")
		args = append(args, strings.Repeat("x", len(a)))
	}
	text.WriteString("}\n" + appendScript.text)
	args[1] = server.Do("script", "load", text.String())
	host, port, _ := net.SplitHostPort(server.Address)
	args = append([]string{"-h", host, "-p", port, "-c", clients, "-P", pipeline, "-n", strconv.Itoa(count), "-r", "1000000000", "-q"}, args...)
	spent := cpu(server)
	out, err := exec.Command("redis-benchmark", args...).CombinedOutput()
	found := requestsPerSecond.FindAllStringSubmatch(string(out), -1)
	if err != nil || len(found) == 0 {
		b.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	if n, _ := strconv.Atoi(server.Do("xlen", j.bone.Key("stream", r.Channel))); n < 1000 {
		b.Fatalf("redis-benchmark kept %d records:\n%s", n, out)
	}
	b.Logf("redis-benchmark -c %s -P %s: %v of CPU a record", clients, pipeline, (cpu(server)-spent)/time.Duration(count))
	rate, _ := strconv.ParseFloat(found[len(found)-1][1], 64)
	return rate
}

// cpu is the CPU time that a server has used; 0 where that cannot be told.
func cpu(server *servertest.Redis) time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", server.PID()))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func luaText(s string) string {
	var t strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&t, "\\%03d", s[i])
	}
	return `"` + t.String() + `"`
}
