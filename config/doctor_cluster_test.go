package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/internal/servertest"

	"github.com/jackc/pgx/v5"
)

// soundRedis is one without a fault.
func soundRedis() RedisFacts {
	return RedisFacts{User: "carillon", Prefix: "carillon", Nodes: []RedisNode{{
		Address: "h:1", Info: map[string]string{"redis_version": "7.0.15", "role": "master", "connected_slaves": "1", "cluster_state": "ok"},
		Config: map[string]string{"maxmemory": "0", "maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec",
			"client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", "min-replicas-to-write": "1"},
	}}}
}

func TestEachCheckOfRedisCanFail(t *testing.T) {
	set := func(name, value string) func(*RedisFacts) {
		return func(f *RedisFacts) { f.Nodes[0].Config[name] = value }
	}
	info := func(name, value string) func(*RedisFacts) {
		return func(f *RedisFacts) { f.Nodes[0].Info[name] = value }
	}
	for _, c := range []struct {
		spoil   func(*RedisFacts)
		verdict Verdict
		says    string
	}{
		{func(*RedisFacts) {}, OK, "keeps what it is given"},
		{func(f *RedisFacts) { f.Err, f.Nodes = errors.New("refused"), nil }, Fail, "correct redis.url"},
		{func(f *RedisFacts) { f.Err = errors.New("OOM") }, Fail, "refuses what nodes do: OOM"},
		{func(f *RedisFacts) { f.Nodes[0].Err = errors.New("gone") }, Fail, "h:1 does not answer"},
		{func(f *RedisFacts) { f.Nodes[0].Config = nil }, Warn, "+config|get"},
		{func(f *RedisFacts) { f.Nodes[0].Ahead = -3 * time.Second }, Warn, "-3s off"},
		{func(f *RedisFacts) { f.Denied = []string{"XADD"} }, Fail, "may not XADD: ACL SETUSER carillon ~carillon:* &carillon:*"},
		{info("redis_version", "6.2.7"), Fail, "upgrade it to Redis 7.0"},
		{info("cluster_state", "fail"), Fail, "--cluster fix h:1"},
		{info("connected_slaves", "0"), Fail, "CONFIG SET min-replicas-to-write 0"},
		{set("min-replicas-to-write", "0"), Warn, "CONFIG SET min-replicas-to-write 1"},
		{set("maxmemory-policy", "allkeys-lru"), Warn, "CONFIG SET maxmemory-policy noeviction"},
		{func(f *RedisFacts) { set("maxmemory-policy", "allkeys-lru")(f); set("maxmemory", "1")(f) }, Fail, "throws logs and leases away"},
		{set("appendonly", "no"), Warn, "CONFIG SET appendonly yes"},
		{set("appendfsync", "no"), Warn, "CONFIG SET appendfsync everysec"},
		{set("client-output-buffer-limit", "pubsub 1000 1000 1"), Fail, "pubsub 32mb 8mb 60"},
		{set("client-output-buffer-limit", "pubsub 0 1000 1"), Warn, "pubsub 32mb 8mb 60"},
	} {
		f := soundRedis()
		c.spoil(&f)
		if got := ExamineRedis(f); len(got) != 1 || got[0].Verdict != c.verdict || !strings.Contains(got[0].Text, c.says) {
			t.Errorf("wanted one %v that says %q, got %v", c.verdict, c.says, got)
		}
	}
}

func TestEachCheckOfPostgresCanFail(t *testing.T) {
	set := func(name, value string) func(*PostgresFacts) {
		return func(f *PostgresFacts) { f.Settings[name] = value }
	}
	for _, c := range []struct {
		spoil   func(*PostgresFacts)
		verdict Verdict
		says    string
	}{
		{func(*PostgresFacts) {}, OK, "keeps what it commits"},
		{func(f *PostgresFacts) { f.Err = errors.New("refused") }, Fail, "correct postgres.url"},
		{func(f *PostgresFacts) { f.Version = 130011 }, Fail, "upgrade it to 14"},
		{func(f *PostgresFacts) { f.Replica = true }, Fail, "name the primary"},
		{func(f *PostgresFacts) { f.Schema = "" }, Fail, "CREATE SCHEMA"},
		{func(f *PostgresFacts) { f.MayCreate = false }, Fail, `GRANT USAGE, CREATE ON SCHEMA "public" TO "u"`},
		{func(f *PostgresFacts) { f.Ahead = time.Minute }, Warn, "1m0s off"},
		{func(f *PostgresFacts) { f.Connections = 90 }, Warn, "90 are in use"},
		{set("max_connections", "20"), Warn, ""},
		{set("max_connections", "10"), Fail, "max_connections = 100"},
		{set("fsync", "off"), Fail, "SET fsync = on"},
		{set("full_page_writes", "off"), Fail, "SET full_page_writes = on"},
		{set("synchronous_commit", "off"), Fail, `ALTER DATABASE "d" SET synchronous_commit = on`},
		{set("server_encoding", "SQL_ASCII"), Fail, "ENCODING 'UTF8'"},
		{set("default_transaction_read_only", "on"), Fail, "default_transaction_read_only = off"},
	} {
		f := PostgresFacts{Database: "d", User: "u", Version: 150004, Schema: "public", MayCreate: true, Connections: 3, Settings: map[string]string{
			"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100", "superuser_reserved_connections": "3",
			"server_encoding": "UTF8", "default_transaction_read_only": "off"}}
		c.spoil(&f)
		if got := ExaminePostgres(f); len(got) != 1 || got[0].Verdict != c.verdict || !strings.Contains(got[0].Text, c.says) {
			t.Errorf("wanted one %v that says %q, got %v", c.verdict, c.says, got)
		}
	}
}

// texts are findings as they are printed, for a test to search.
func texts(found []Finding) string {
	all := ""
	for _, f := range found {
		all += fmt.Sprintf("%s %s\n", f.Verdict, f.Text)
	}
	return all
}

func wants(t *testing.T, found []Finding, says ...string) {
	t.Helper()
	all := texts(found)
	for _, s := range says {
		if !strings.Contains(all, s) {
			t.Errorf("%q is not said:\n%s", s, all)
		}
	}
	if len(found) != len(says) {
		t.Errorf("%d findings, %d were wanted:\n%s", len(found), len(says), all)
	}
}

// TestDoctorOfRedis looks at real servers, and follows its own advice.
func TestDoctorOfRedis(t *testing.T) {
	r := servertest.StartRedis(t, "--appendonly", "no", "--save", "", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru",
		"--client-output-buffer-limit", "pubsub 500kb 200kb 10", "--min-replicas-to-write", "1")
	look := func(user, password string) []Finding {
		return ExamineRedis(GatherRedis(context.Background(), RedisAccess{URL: r.URL(), Username: user, Password: password}))
	}
	all := texts(look("", ""))
	for _, want := range []string{"fail " + r.Address + " throws", "warn " + r.Address + " forgets", "fail " + r.Address + " cuts a node off", "fail " + r.Address + " refuses to write"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not said:\n%s", want, all)
		}
	}
	for _, cure := range [][]string{{"maxmemory-policy", "noeviction"}, {"appendonly", "yes"}, {"client-output-buffer-limit", "pubsub 32mb 8mb 60"}, {"min-replicas-to-write", "0"}} {
		r.Do(append([]string{"config", "set"}, cure...)...)
	}
	wants(t, look("", ""), "ok 1 server, version ")

	r.Do("acl", "setuser", "weak", "on", ">secret", "~carillon:*", "+@all", "-@stream", "-publish")
	wants(t, look("weak", "secret"), "may not PUBLISH, XADD, XDEL, XLEN, XRANGE, XREVRANGE, XTRIM, SUBSCRIBE: ACL SETUSER weak")
	r.Do("acl", "setuser", "weak", "~carillon:*", "&carillon:*", "+@all", "-@dangerous", "+info", "+cluster")
	wants(t, look("weak", "secret"), "warn "+r.Address+" does not show its settings")
	r.Do("acl", "setuser", "weak", "+config|get")
	wants(t, look("weak", "secret"), "ok 1 server")
	found := look("weak", "wrong")
	wants(t, found, "WRONGPASS")
	if strings.Contains(texts(found), "wrong") && strings.Contains(texts(found), ">") {
		t.Errorf("the password is shown: %s", texts(found))
	}
	if left := r.Do("keys", "*"); left != "" {
		t.Errorf("keys are left: %s", left)
	}
	r.Kill()
	wants(t, look("", ""), "correct redis.url")
	if got := ExamineRedis(GatherRedis(context.Background(), RedisAccess{URL: "redis://:hunter2@:x:/"})); strings.Contains(texts(got), "hunter2") {
		t.Errorf("the password is shown: %s", texts(got))
	}
}

// TestDoctorOfRedisOverTLS: a certificate that this machine does not trust is named, and believed once its file is.
func TestDoctorOfRedisOverTLS(t *testing.T) {
	r := servertest.StartRedisTLS(t, servertest.RedisEverySec...)
	look := func(file string) []Finding {
		trust, err := (&Redis{CA: file}).Trust()
		if err != nil {
			t.Fatal(err)
		}
		return ExamineRedis(GatherRedis(context.Background(), RedisAccess{URL: r.URL(), TLS: trust}))
	}
	wants(t, look(""), "redis.ca")
	wants(t, look(r.CA), "ok 1 server, version ")
	for file, says := range map[string]string{"/nowhere": "redis.ca: no such file", "doctor_redis.go": "no certificate"} {
		if _, err := (&Redis{CA: file}).Trust(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestDoctorOfRedisCluster(t *testing.T) {
	c := servertest.StartRedisCluster(t, servertest.RedisEverySec...)
	look := func() []Finding {
		return ExamineRedis(GatherRedis(context.Background(), RedisAccess{URL: c.URL()}))
	}
	wants(t, look(), "ok 3 servers, version ")
	c.Nodes[1].Do("config", "set", "appendfsync", "no")
	wants(t, look(), "warn "+c.Nodes[1].Address+" leaves it to the system")
}

// TestDoctorOfPostgres looks at a real server, and follows its own advice.
func TestDoctorOfPostgres(t *testing.T) {
	p := servertest.StartPostgres(t, "max_connections=12")
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	do := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := c.Exec(ctx, s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	do("CREATE ROLE weak LOGIN", "REVOKE CREATE ON SCHEMA public FROM public")
	strong := p.DSN()
	weak := strings.Replace(strong, "postgres@", "weak:hunter2@", 1)
	look := func(url string) []Finding { return ExaminePostgres(GatherPostgres(ctx, url)) }
	// A setting is in force when a new session sees it.
	settled := func(setting, value string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); GatherPostgres(ctx, strong).Settings[setting] != value; {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not become %s", setting, value)
			}
		}
	}
	do("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
	settled("fsync", "off")
	wants(t, look(weak), "fail fsync is off", "fail full_page_writes is off", "fail synchronous_commit is off", `GRANT USAGE, CREATE ON SCHEMA "public" TO "weak"`, "fail it takes 9 connections")
	do("ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()",
		`ALTER DATABASE "postgres" SET synchronous_commit = on`, `ALTER ROLE "weak" RESET synchronous_commit`, `GRANT USAGE, CREATE ON SCHEMA "public" TO "weak"`)
	settled("fsync", "on")
	wants(t, look(weak), "fail it takes 9 connections")

	found := look(strings.Replace(weak, "weak:", "nobody:", 1))
	wants(t, found, "correct postgres.url")
	p.Kill()
	found = append(found, look(weak)...)
	found = append(found, look("postgres://u:hunter2@:x:/d")...)
	if strings.Contains(texts(found), "hunter2") || len(found) != 3 {
		t.Errorf("three that cannot be reached:\n%s", texts(found))
	}
}
