package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carillon/config"
	"carillon/internal/servertest"
	"carillon/plan"

	"go.yaml.in/yaml/v3"
)

// compose is what the tests read of compose.yaml.
type compose struct {
	Services map[string]struct {
		Command     []string
		Environment map[string]string
		Networks    yaml.Node
	}
}

func readCompose(t *testing.T) (c compose) {
	t.Helper()
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeNodes: what compose.yaml gives the nodes is a configuration without a fault, and the addresses in it are those
// of the proxy's sample.
func TestComposeNodes(t *testing.T) {
	c := readCompose(t)
	dir := t.TempDir()
	for name, text := range map[string]string{"tokens": "vJ3kq8Zr1Tn6Wb5Xy0Lp9Gd2Hf4Mc7SaQeUiRoYt", "postgres-url": "postgres://carillon:secret@postgres:5432/carillon?sslmode=disable"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, roles := range map[string]string{"g1": "gateway api", "g2": "gateway api", "worker": "worker"} {
		var env []string
		for key, value := range c.Services[name].Environment {
			env = append(env, key+"="+strings.Replace(value, "/run/secrets", dir, 1))
		}
		l, err := config.Load(config.Sources{Env: env})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(l.Config.Roles, " "); got != roles || !l.Config.Shared() || len(l.Config.Networks()) != 1 {
			t.Errorf("%s: roles %s, trusted proxies %v", name, got, l.Config.Networks())
		}
	}
	sample, err := os.ReadFile(haproxy)
	if err != nil {
		t.Fatal(err)
	}
	for name, server := range map[string]string{"g1": "server g1 %s:8000", "g2": "server g2 %s:8000", "proxy": ""} {
		networks := map[string]struct {
			Address string `yaml:"ipv4_address"`
		}{}
		node := c.Services[name].Networks
		if err := node.Decode(&networks); err != nil {
			t.Fatal(err)
		}
		address := networks["inside"].Address
		if address == "" || server != "" && !strings.Contains(string(sample), fmt.Sprintf(server, address)) {
			t.Errorf("%s has the address %q, which %s does not know", name, address, haproxy)
		}
		if server == "" && c.Services["g1"].Environment["CARILLON_TRUSTED_PROXIES"] != address {
			t.Errorf("the nodes do not trust the proxy at %s", address)
		}
	}
}

// TestComposeRedis: a Redis started as compose.yaml says is one that doctor has nothing against.
func TestComposeRedis(t *testing.T) {
	command := readCompose(t).Services["redis"].Command
	if len(command) < 2 || command[0] != "redis-server" {
		t.Fatalf("the command is %v", command)
	}
	r := servertest.StartRedis(t, command[1:]...)
	for _, f := range config.ExamineRedis(config.GatherRedis(t.Context(), config.RedisAccess{URL: r.URL()})) {
		if f.Verdict != config.OK {
			t.Errorf("doctor: %+v", f)
		}
	}
}

// TestSaving: what the samples say that hashing by user saves is what is reckoned.
func TestSaving(t *testing.T) {
	figure := fmt.Sprintf("of 20 nodes %.2f for 3", plan.Copies(20, 3))
	for _, path := range []string{haproxy, nginx, "../docs/cluster.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), figure) {
			t.Errorf("%s does not say %q", path, figure)
		}
	}
}
