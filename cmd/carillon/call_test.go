package main

import (
	"strings"
	"syscall"
	"testing"
)

// TestCallAndReplay asks a service from the shell, across a restart and under the same id, and proves its channel then.
func TestCallAndReplay(t *testing.T) {
	data := t.TempDir()
	secret := "CARILLON_SECRET_FILE=" + secretFile(t)
	token := call{args: []string{"token", "create", "--user", "ann"}, env: []string{secret}}.run(t).want(t, exitOK)
	env := []string{secret, "CARILLON_TOKEN=" + strings.TrimSpace(token.out)}
	ask := func(args ...string) result { return call{args: append([]string{"call"}, args...), env: env}.run(t) }
	dev := call{args: []string{"dev", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0", "--data", data}, env: env[:1]}
	p, url := startServer(t, dev)
	first := parse(t, ask("counter:visits", `{"do":"add","by":2}`, "--id", "one", "--json", "--url", url).want(t, exitOK).out)
	if first["ack"] != "durable" || first["offset"] != 1.0 || first["id"] != "one" {
		t.Errorf("answered %v", first)
	}
	carillon(t, "replay", "counter:visits", "--data", data).want(t, exitFailed, "in use by another process")
	p.signal(syscall.SIGTERM)

	p, url = startServer(t, dev)
	again := parse(t, ask("counter:visits", `{"do":"add","by":2}`, "--id", "one", "--json", "--url", url).want(t, exitOK).out)
	if again["at"] != first["at"] || again["offset"] != 1.0 {
		t.Errorf("answered %v, and under the same id %v", first, again)
	}
	ask("counter:visits", `{"do":"add","by":3}`, "--id", "one", "--url", url).want(t, exitRefused, "id_reuse")
	ask("counter:visits", `{"do":"add","by":0}`, "--url", url).want(t, exitRefused, "the service refused it with its code")
	ask("nobody:here", `1`, "--url", url).want(t, exitRefused, "no_service")
	ask("counter:visits", `{`, "--url", url).want(t, exitUsage, "no JSON")
	for range 3 {
		ask("counter:visits", `{"do":"add","by":1}`, "--url", url).want(t, exitOK)
	}
	p.signal(syscall.SIGTERM)

	proof := parse(t, carillon(t, "replay", "counter:visits", "--data", data, "--json").want(t, exitOK).out)
	if proof["from"] != 1.0 || proof["to"] != 4.0 || proof["records"] != 3.0 || proof["snapshots"] != 2.0 { // each drain kept one
		t.Errorf("replay proved %v", proof)
	}
	if r := carillon(t, "replay", "nobody:here", "--data", data).want(t, exitFailed, "nobody"); strings.Contains(r.out, "proved") {
		t.Errorf("proved a channel without a service: %s", r.out)
	}
}
