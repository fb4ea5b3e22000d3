package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Sample is a server process at one moment, as the kernel sees it. Memory of sockets and slab is the whole machine's,
// both ends of every loopback connection, and so is what was stolen.
type Sample struct {
	CPU      int64 `json:"cpu"`      // ns of user and system time, all threads
	Resident int64 `json:"resident"` // bytes
	Sockets  int64 `json:"sockets"`  // bytes of TCP buffers
	Slab     int64 `json:"slab"`     // bytes of the kernel's own structs
	Threads  int64 `json:"threads"`
	Stolen   int64 `json:"stolen"` // ns in which a processor had work and the hypervisor gave it to another machine
}

const (
	ticksPerSecond = 100 // of /proc/PID/stat, on every Linux that Go runs on
	pageBytes      = 4096
)

// probe reads the figures of a process; pid 0 gives those of the machine alone.
func probe(pid int) (s Sample, err error) {
	if pid > 0 {
		if err := s.readProcess(pid); err != nil {
			return s, fmt.Errorf("reading the figures of process %d: %w", pid, err)
		}
	}
	pages, err := field("/proc/net/sockstat", "TCP:", "mem")
	if err != nil {
		return s, err
	}
	s.Sockets = pages * pageBytes
	slab, err := field("/proc/meminfo", "Slab:", "")
	if err != nil {
		return s, err
	}
	s.Slab = slab << 10
	s.Stolen, err = stolen("/proc/stat")
	return s, err
}

// stolen is the eighth time of all processors together, in /proc/stat of proc(5); 0 from kernels that do not count it.
func stolen(path string) (ns int64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	all, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(all)
	if len(fields) < 9 {
		return 0, nil
	}
	ticks, err := strconv.ParseInt(fields[8], 10, 64)
	return ticks * (1e9 / ticksPerSecond), err
}

func (s *Sample) readProcess(pid int) error {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	// The name, second field, may hold anything; what follows its last parenthesis is plain.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 22 {
		return fmt.Errorf("unexpected form of stat")
	}
	var v [5]int64
	for i, at := range []int{11, 12, 17, 21} { // utime, stime, num_threads, rss
		if v[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
			return err
		}
	}
	s.CPU = (v[0] + v[1]) * (1e9 / ticksPerSecond)
	s.Threads, s.Resident = v[2], v[3]*pageBytes
	return nil
}

// field finds a number: in the line that begins with lead, after the word, or the first where there is no word.
func field(path, lead, word string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), lead)
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		for i, f := range fields {
			if word == "" || i > 0 && fields[i-1] == word {
				return strconv.ParseInt(f, 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("%s has no %s %s", path, lead, word)
}

// ownerOf finds the process that listens on a TCP port of this machine, if it is one of ours to see.
func ownerOf(port int) (int, error) {
	inode, err := listener(port)
	if err != nil {
		return 0, err
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	want := "socket:[" + inode + "]"
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd"
		fds, _ := os.ReadDir(dir) // of another user: then it cannot be measured anyway
		for _, fd := range fds {
			if to, _ := os.Readlink(dir + "/" + fd.Name()); to == want {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("nobody we may look at listens on port %d: name the server with --pid", port)
}

func listener(port int) (inode string, err error) {
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				return f[9], nil
			}
		}
	}
	return "", fmt.Errorf("nobody listens on port %d", port)
}

// unsent sums what lies in the send queues of the server's lines, in bytes.
func unsent(port int) (sum int64, err error) {
	b, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	own := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.HasSuffix(f[1], own) {
			continue
		}
		queue, _, _ := strings.Cut(f[4], ":")
		n, err := strconv.ParseInt(queue, 16, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
