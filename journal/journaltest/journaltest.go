// Package journaltest is the law of journals: Run checks everything that journal.Appender and journal.Reader promise,
// and every implementation calls it in a test of three lines. What only durable journals promise (reopening, kill -9)
// is checked where Tier is journal.TierDurable. Start with Run; world.go holds what the checks share.
package journaltest

import (
	"os"
	"testing"

	"carillon/journal"
)

// Journal is what an implementation offers to the suite.
type Journal interface {
	journal.Appender
	journal.Reader
	// Tier decides what the suite asks for: of a durable journal, that it outlives its process.
	Tier() journal.Tier
}

// Options are what the suite gives to a journal it opens.
type Options struct {
	Clock    journal.Clock
	Policies journal.Policies
	Carry    journal.Carry
}

// Open opens the journal that lives in dir (a durable one finds there what it wrote) and returns it with what closes it.
type Open func(t testing.TB, dir string, o Options) (j Journal, end func())

// Run checks an implementation. The calling test must not be parallel, and its name must be enough to run it
// alone: for kill -9 it is started again as another process.
func Run(t *testing.T, open Open) {
	if dir := os.Getenv(victimDir); dir != "" {
		runVictim(t, open, dir)
		return
	}
	for _, c := range []struct {
		name  string
		check func(*testing.T, Open)
	}{
		{"chain", checkChain},
		{"time", checkTime},
		{"refusals", checkRefusals},
		{"bodies", checkBodies},
		{"empty channels", checkEmptyChannels},
		{"order", checkOrder},
		{"pipeline", checkPipeline},
		{"reentrant", checkReentrant},
		{"ids", checkIDs},
		{"resend storm", checkStorm},
		{"too old ids", checkTooOld},
		{"retention by records", checkRetentionRecords},
		{"retention by bytes", checkRetentionBytes},
		{"retention by age", checkRetentionAge},
		{"gaps", checkGaps},
		{"window edges", checkWindowEdges},
		{"pages", checkPages},
		{"page bounds", checkPageBounds},
		{"head snapshot", checkHeadSnapshot},
		{"canceled", checkCanceled},
		{"close", checkClose},
		{"close waits", checkCloseWaits},
		{"epochs", checkEpochs},
		{"reopen", checkReopen},
		{"kill", checkKill},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open) })
	}
}
