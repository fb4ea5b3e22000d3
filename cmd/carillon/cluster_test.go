package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cannotRun is the status of scripts/cluster-demo.sh where a program is missing.
const cannotRun = 77

// TestClusterDemo runs the demo's own check: a cluster behind a proxy whose gateways, worker and Redis are killed and
// started again while people talk. What was acknowledged came to a subscriber once, and stands in the history once.
func TestClusterDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a whole cluster")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "../../scripts/cluster-demo.sh", "--check")
	c.Env = append(cleanEnv(), "CARILLON="+program)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it cleans up
	c.WaitDelay = 30 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == cannotRun {
		t.Skip(strings.TrimSpace(out.String()))
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("%s", &out)
}
