package config

import (
	"errors"
	"strings"
	"testing"
)

const (
	withRedis    = "secret: 0Aq9-Zx3-Lm7-Tb5-Vr1-Yk8-Wd2-Hc6\nredis: {url: 'redis://r:6379'}\n"
	withPostgres = "postgres: {url: 'postgres://u:p@db/carillon'}\n"
)

// What several nodes share has to be where all of them find it; every refusal says what to set.
func TestClusterNeedsWhatItShares(t *testing.T) {
	for _, c := range []struct{ name, text, key, says string }{
		{"plain channels over Redis alone", withRedis, "", ""},
		{"everything", withRedis + withPostgres + "services: chat\nnamespaces: {news: {durable: true}}", "", ""},
		{"a worker", withRedis + withPostgres + "services: chat\nroles: worker", "", ""},
		{"services without a database", withRedis + "services: chat", "services", "set postgres.url"},
		{"durable without a database", withRedis + "data: d\nnamespaces: {news: {durable: true}}", "namespaces.news.durable", "set postgres.url"},
		{"durable on Postgres alone", withPostgres + "namespaces: {news: {durable: true}}", "", ""},
		{"durable nowhere", "namespaces: {news: {durable: true}}", "namespaces.news.durable", "set data, or postgres.url"},
		{"some roles alone", "roles: [gateway, api]", "roles", "set redis.url"},
		{"no such role", withRedis + "roles: [gatway]", "roles", "those are gateway, worker and api"},
		{"credentials for nothing", "redis: {username: u}", "redis.url", "set redis.url"},
		{"no Redis", "redis: {url: 'http://r:6379'}", "redis.url", "redis://HOST:PORT"},
		{"a password in the open", "redis: {url: 'redis://u:hunter2@r:6379'}", "redis.url", "redis.password_file"},
		{"no database", "postgres: {url: 'mysql://u:hunter2@r/x'}", "postgres.url", "postgres://USER"},
		{"a strange prefix", "redis: {url: 'redis://r', prefix: 'a*'}", "redis.prefix", "A-Z a-z 0-9"},
	} {
		_, err := load(c.text)
		var ps Problems
		switch {
		case c.key == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.key != "" && (!errors.As(err, &ps) || ps[0].Key != c.key || !strings.Contains(ps[0].Text, c.says)):
			t.Errorf("%s: %v", c.name, err)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the password is told: %v", c.name, err)
		}
	}
}

// Nothing of a cluster changes while a node runs.
func TestClusterIsFixed(t *testing.T) {
	was := mustLoad(t, withRedis+withPostgres)
	for _, text := range []string{
		strings.Replace(withRedis, "r:6379", "s:6379", 1) + withPostgres, withRedis,
		withRedis + withPostgres + "roles: gateway", withRedis + withPostgres + "node: b",
	} {
		if _, refused := Diff(&was.Config, &mustLoad(t, text).Config); len(refused) != 1 {
			t.Errorf("refused %v of %q", refused, text)
		}
	}
}

func TestClusterFromTheEnvironment(t *testing.T) {
	l, err := Load(Sources{Env: []string{
		"CARILLON_REDIS_URL=rediss://a:1?addr=b:2", "CARILLON_REDIS_PASSWORD_FILE=p", "CARILLON_POSTGRES_URL=postgres://u@db/x", "CARILLON_ROLES=worker",
		"CARILLON_NODE=w1",
	}, Flags: map[string]string{"roles": "gateway,api"}, ReadFile: disk(map[string]string{"p": "hunter2\n"})})
	if err != nil {
		t.Fatal(err)
	}
	c := &l.Config
	if string(c.Redis.Password.Reveal()) != "hunter2" || c.Has(RoleWorker) || !c.Has(RoleAPI) || !c.Shared() || c.Node != "w1" {
		t.Errorf("%+v", c)
	}
}
