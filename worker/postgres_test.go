package worker_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carillon/internal/servertest"
)

// server is the Postgres of TestOverPostgres, while that runs.
var server struct {
	mu  sync.Mutex
	at  *servertest.Postgres
	ids atomic.Int64
}

const overPostgres = "TestOverPostgres"

// database makes a fresh database for a test that runs within TestOverPostgres; "" for all others.
func database(t testing.TB) string {
	if !strings.HasPrefix(t.Name(), overPostgres+"/") {
		return ""
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	return server.at.Create(fmt.Sprintf("world%d", server.ids.Add(1)))
}

// TestOverPostgres runs what the worker promises once more, over a database that is shared by many nodes; with CARILLON_LONG
// all of it.
func TestOverPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	at := servertest.StartPostgres(t)
	server.mu.Lock()
	server.at = at
	server.mu.Unlock()
	type promise struct {
		name string
		test func(*testing.T)
	}
	promises := []promise{
		{"commands", TestCommands}, {"duplicates", TestDuplicates}, {"snapshots", TestSnapshots}, {"grant and erase", TestGrantAndErase},
		{"unconfirmed", TestUnconfirmed}, {"same stamps", TestSameStamps}, {"zombie", TestZombie}, {"take over", TestTakeOver},
		{"repeated", TestRepeated}, {"timers", TestTimers}, {"sends", TestSends}, {"send noted", TestSendNoted}, {"crash points", TestCrashPoints},
	}
	if os.Getenv("CARILLON_LONG") != "" {
		promises = append(promises, promise{"storm", TestStorm}, promise{"questions", TestQuestions}, promise{"passivation", TestPassivation},
			promise{"apply ahead", TestApplyAhead}, promise{"poison", TestPoison}, promise{"gives up", TestGivesUp}, promise{"culprit", TestCulprit},
			promise{"timer replaced", TestTimerReplaced}, promise{"timer poison", TestTimerPoison}, promise{"send refused", TestSendRefused},
			promise{"dead target", TestDeadTarget})
	}
	for _, c := range promises {
		t.Run(c.name, c.test)
	}
}
