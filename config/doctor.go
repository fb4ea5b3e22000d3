package config

import (
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"
)

// Facts are what a machine is like, as far as a server with a certain configuration cares. Gather collects them; a
// number that cannot be had is 0.
type Facts struct {
	OpenFiles  uint64 // that this process may have
	Backlog    int    // connections the system keeps for a listener that is busy: somaxconn
	SynBacklog int    // the same, before their handshake is complete
	Ports      []PortFact
	Clock      ClockFacts
	Data       *FolderFacts // nil without a data folder
	Files      []FileFact
	Memory     uint64 // bytes of this machine
	MemoryCap  uint64 // bytes that a cgroup allows this process; 0: no cap
}

// PortFact is whether a listener could be bound.
type PortFact struct {
	Key, Address string
	Err          error
}

// ClockFacts are two readings of both clocks.
type ClockFacts struct {
	Now   time.Time
	Drift time.Duration // how much further than the monotonic clock the other one went meanwhile
}

// FolderFacts are those of the data folder.
type FolderFacts struct {
	Err        error         // it is not there, no folder, or cannot be written
	Free       uint64        // bytes; math.MaxUint64 where it cannot be read
	Filesystem string        // its name, where it is known
	Network    bool          // it is on another machine
	Sync       time.Duration // how long a small write took to be safe, in the middle of several
}

// FileFact is what becomes of a file that the configuration names.
type FileFact struct {
	Key, Path string
	Mode      fs.FileMode
	Secret    bool
	Err       error
}

// Verdict is how bad a finding is.
type Verdict uint8

// The verdicts, from the best.
const (
	OK Verdict = iota
	Warn
	Fail
)

func (v Verdict) String() string { return [...]string{"ok", "warn", "fail"}[v] }

// Finding is the outcome of one check.
type Finding struct {
	Verdict Verdict
	Check   string
	Text    string // what was found; if not OK, also what to set
}

// What a server needs beside its connections.
const (
	ownFiles       = 256      // open files: listeners, store, peers
	perConnection  = 12 << 10 // bytes of memory
	ownMemory      = 64 << 20 // bytes: the program, the store's caches
	leastBacklog   = 1024     // connections
	goodBacklog    = 4096     // connections
	leastFree      = 64 << 20 // bytes on the data disk
	goodFree       = 1 << 30  // bytes
	slowSync       = 20 * time.Millisecond
	verySlowSync   = 500 * time.Millisecond
	mostDrift      = 50 * time.Millisecond
	goodMemoryPart = 75 // percent of what there is
)

// Examine judges the facts. It gives at least one finding for each check.
func Examine(c *Config, f Facts) (found []Finding) {
	found = append(found, examineFiles(c, f), examineBacklog(f))
	for _, p := range f.Ports {
		found = append(found, examinePort(p))
	}
	found = append(found, examineClock(f.Clock))
	found = append(found, examineData(c, f.Data)...)
	found = append(found, examineSecrets(f.Files)...)
	return append(found, examineMemory(c, f))
}

func examineFiles(c *Config, f Facts) Finding {
	need := uint64(c.Limits.Connections) + ownFiles
	switch {
	case f.OpenFiles == 0:
		return Finding{Warn, "open files", "their limit cannot be read here: make sure it is above " + fmt.Sprint(need)}
	case f.OpenFiles < need:
		return Finding{Fail, "open files", fmt.Sprintf("%d allowed, %d needed for limits.connections: raise it (systemd: LimitNOFILE=%d; shell: ulimit -n %d), or lower limits.connections to %d",
			f.OpenFiles, need, need, need, max(1, int64(f.OpenFiles)-ownFiles))}
	}
	return Finding{OK, "open files", fmt.Sprintf("%d allowed, %d needed", f.OpenFiles, need)}
}

func examineBacklog(f Facts) Finding {
	text := fmt.Sprintf("somaxconn %d, tcp_max_syn_backlog %d", f.Backlog, f.SynBacklog)
	const cure = ": sysctl -w net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096, or clients that come at once wait seconds for a retry"
	switch {
	case f.Backlog == 0:
		return Finding{Warn, "backlog", "cannot be read here: let the system keep at least 4096 connections for a busy listener"}
	case f.Backlog < leastBacklog:
		return Finding{Fail, "backlog", text + cure}
	case f.Backlog < goodBacklog || f.SynBacklog != 0 && f.SynBacklog < leastBacklog:
		return Finding{Warn, "backlog", text + cure}
	}
	return Finding{OK, "backlog", text}
}

func examinePort(p PortFact) Finding {
	if p.Err != nil {
		return Finding{Fail, "port", fmt.Sprintf("%s %s cannot be bound: %s; end what uses it (ss -ltnp shows it), or set %s", p.Key, p.Address, p.Err, p.Key)}
	}
	return Finding{OK, "port", p.Key + " " + p.Address + " is free"}
}

func examineClock(c ClockFacts) Finding {
	switch year := c.Now.Year(); {
	case year < 2025 || year > 2100:
		return Finding{Fail, "clock", fmt.Sprintf("it is the year %d here: set the clock (timedatectl set-ntp true), or every token is refused", year)}
	case c.Drift > mostDrift || c.Drift < -mostDrift:
		return Finding{Warn, "clock", fmt.Sprintf("it jumped by %s while it was looked at: let a time service slew it, not step it", c.Drift)}
	}
	return Finding{OK, "clock", c.Now.UTC().Format(time.RFC3339) + ", steady"}
}

func examineData(c *Config, d *FolderFacts) []Finding {
	if d == nil {
		return []Finding{{OK, "data", "no folder is set: everything is kept in memory"}}
	}
	if d.Err != nil {
		return []Finding{{Fail, "data", fmt.Sprintf("%s: %s; make the folder and give it to this user: install -d -m 700 %s", c.Data, d.Err, c.Data)}}
	}
	return []Finding{examineDisk(c, d), examineFree(d), examineSync(d)}
}

func examineDisk(c *Config, d *FolderFacts) Finding {
	if d.Network {
		return Finding{Fail, "data", fmt.Sprintf("%s is on a network file system (%s), whose locks cannot be trusted with a database: use a local disk", c.Data, d.Filesystem)}
	}
	return Finding{OK, "data", fmt.Sprintf("%s can be written (%s)", c.Data, or(d.Filesystem, "file system not known"))}
}

func examineFree(d *FolderFacts) Finding {
	text := fmt.Sprintf("%d MiB free", d.Free>>20)
	switch {
	case d.Free == math.MaxUint64:
		return Finding{Warn, "disk", "how much is free cannot be read here: a full disk refuses durable records"}
	case d.Free < leastFree:
		return Finding{Fail, "disk", text + ": make room, for a full disk refuses durable records"}
	case d.Free < goodFree:
		return Finding{Warn, "disk", text + ": bound retention of durable namespaces, or give it more"}
	}
	return Finding{OK, "disk", text}
}

func examineSync(d *FolderFacts) Finding {
	text := fmt.Sprintf("a small write is safe after %s", d.Sync.Round(10*time.Microsecond))
	switch {
	case d.Sync > verySlowSync:
		return Finding{Fail, "fsync", text + ": durable records would wait as long; use a local disk"}
	case d.Sync > slowSync:
		return Finding{Warn, "fsync", text + ": durable records wait as long; a disk with power-loss protection is faster"}
	}
	return Finding{OK, "fsync", text}
}

func examineSecrets(files []FileFact) (found []Finding) {
	for _, f := range files {
		switch {
		case f.Err != nil:
			found = append(found, Finding{Fail, "files", fmt.Sprintf("%s: %s cannot be read: %s", f.Key, f.Path, f.Err)})
		case f.Secret && f.Mode.Perm()&0o007 != 0:
			found = append(found, Finding{Fail, "files", fmt.Sprintf("%s: everybody may use %s; run chmod 600 on it", f.Key, f.Path)})
		case f.Secret && f.Mode.Perm()&0o070 != 0:
			found = append(found, Finding{Warn, "files", fmt.Sprintf("%s: a whole group may use %s: chmod 600 %s, unless that is meant", f.Key, f.Path, f.Path)})
		case f.Mode.Perm()&0o002 != 0:
			found = append(found, Finding{Fail, "files", fmt.Sprintf("%s: everybody may change %s: chmod 644 %s", f.Key, f.Path, f.Path)})
		}
	}
	if len(found) == 0 {
		found = append(found, Finding{OK, "files", counted(len(files), "file") + " of secrets, keys and certificates, as private as they should be"})
	}
	return found
}

func examineMemory(c *Config, f Facts) Finding {
	have, whose := f.Memory, "of this machine"
	if f.MemoryCap != 0 && (f.MemoryCap < have || have == 0) {
		have, whose = f.MemoryCap, "that the cgroup allows"
	}
	need := uint64(c.Limits.Memory) + uint64(c.Limits.Connections)*perConnection + ownMemory
	text := fmt.Sprintf("up to %d MiB with limits.memory full and limits.connections reached, of %d MiB %s", need>>20, have>>20, whose)
	switch {
	case have == 0:
		return Finding{Warn, "memory", fmt.Sprintf("what there is cannot be read here: up to %d MiB are needed", need>>20)}
	case need > have:
		return Finding{Fail, "memory", text + ": lower limits.memory or limits.connections, or give more"}
	case need > have/100*goodMemoryPart:
		return Finding{Warn, "memory", text + ": little is left for logs in memory and for the rest"}
	}
	return Finding{OK, "memory", text}
}

// WriteFindings writes a line for each finding. Its error is of type Found if one of them fails.
func WriteFindings(w io.Writer, found []Finding) error {
	out, failed := &writer{w: w}, 0
	for _, f := range found {
		out.print("%-4s  %-10s  %s\n", f.Verdict, f.Check, f.Text)
		if f.Verdict == Fail {
			failed++
		}
	}
	if out.err == nil && failed > 0 {
		return Found{counted(failed, "check") + " failed"}
	}
	return out.err
}
