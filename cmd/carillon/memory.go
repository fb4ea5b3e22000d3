package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much garbage a server lets gather, in percent of what lives. Connections are nearly all that lives, and
// what is hot allocates next to nothing: half of Go's default saves a tenth of the memory of an idle server (measured with
// 15,000 connections: 7.0 KB each in place of 7.9) and costs collections that are rare anyway. GOGC overrules it.
const gcPercent = 50

func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
