package config

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// syncTries is how many small writes are timed.
const syncTries = 7

// Gather looks at this machine. It tries the listeners for a moment, and writes and removes one file in the data folder.
func Gather(c *Config) Facts {
	before := time.Now()
	f := Facts{
		OpenFiles:  openFiles(),
		Backlog:    int(numberIn("/proc/sys/net/core/somaxconn")),
		SynBacklog: int(numberIn("/proc/sys/net/ipv4/tcp_max_syn_backlog")),
		Ports:      []PortFact{tryPort("listen", c.Listen), tryPort("internal_listen", c.InternalListen)},
		Files:      filesOf(c),
		Memory:     memoryOf("/proc/meminfo"),
		MemoryCap:  memoryCap(),
	}
	if c.Data != "" {
		f.Data = lookAtFolder(c.Data)
	}
	f.Clock = ClockFacts{Now: before, Drift: drift(before, time.Now())}
	return f
}

// drift compares how far both clocks went. Round strips the monotonic reading.
func drift(before, after time.Time) time.Duration {
	return after.Round(0).Sub(before.Round(0)) - after.Sub(before)
}

func tryPort(key, address string) PortFact {
	l, err := net.Listen("tcp", address)
	if err == nil {
		err = l.Close()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the address is named beside it
	}
	return PortFact{key, address, err}
}

// filesOf are the files that the configuration names, with their modes.
func filesOf(c *Config) (files []FileFact) {
	add := func(key, path string, secret bool) {
		if path == "" {
			return
		}
		fact := FileFact{Key: key, Path: path, Secret: secret}
		info, err := os.Stat(path)
		if fact.Err = withoutPath(err); err == nil {
			fact.Mode = info.Mode()
		}
		files = append(files, fact)
	}
	visit(tree, reflect.ValueOf(*c), "", func(s *spec, v reflect.Value, path string) {
		if s.asFile {
			add(path, v.Interface().(Secret).File(), s.Secret)
		}
	})
	add("tls.cert", c.TLS.Cert, false)
	add("tls.key", c.TLS.Key, true)
	add("redis.ca", c.Redis.CA, false)
	return files
}

// lookAtFolder measures a folder by using it.
func lookAtFolder(dir string) *FolderFacts {
	f := &FolderFacts{}
	info, err := os.Stat(dir)
	if err != nil {
		f.Err = withoutPath(err)
		return f
	}
	if !info.IsDir() {
		f.Err = errors.New("it is no folder")
		return f
	}
	f.Free, f.Filesystem, f.Network = fileSystem(dir)
	f.Sync, f.Err = timeSync(dir)
	return f
}

// timeSync is how long a small write takes to be safe: the middle of several.
func timeSync(dir string) (middle time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".carillon-doctor-*")
	if err != nil {
		return 0, withoutPath(err)
	}
	defer func() {
		err = errors.Join(err, withoutPath(file.Close()), withoutPath(os.Remove(file.Name())))
	}()
	var took []time.Duration
	block := make([]byte, 4<<10)
	for range syncTries {
		begin := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, withoutPath(err)
		}
		if err := file.Sync(); err != nil {
			return 0, withoutPath(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// numberIn reads a file that holds a number; 0 if it does not.
func numberIn(file string) uint64 {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	return n
}

// memoryOf reads MemTotal, in bytes.
func memoryOf(file string) uint64 {
	raw, _ := os.ReadFile(file)
	for line := range strings.Lines(string(raw)) {
		words := strings.Fields(line)
		if len(words) == 3 && words[0] == "MemTotal:" {
			kib, _ := strconv.ParseUint(words[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// memoryCap is the least cap of the cgroups that this process is in, version 2 or 1; 0 without any.
func memoryCap() (least uint64) {
	const root = "/sys/fs/cgroup"
	own, _ := os.ReadFile("/proc/self/cgroup")
	folders := []string{root, root + "/memory"}
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) == 3 && parts[1] == "":
			folders = append(folders, upwards(root, parts[2])...)
		case len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), "memory"):
			folders = append(folders, upwards(root+"/memory", parts[2])...)
		}
	}
	for _, dir := range folders {
		for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
			// Version 1 says "no cap" with a number near the largest there is.
			if n := numberIn(filepath.Join(dir, name)); n != 0 && n < 1<<60 && (least == 0 || n < least) {
				least = n
			}
		}
	}
	return least
}

// upwards are the folders from root/path up to, but without, root.
func upwards(root, path string) (dirs []string) {
	for p := filepath.Clean("/" + path); p != "/"; p = filepath.Dir(p) {
		dirs = append(dirs, filepath.Join(root, p))
	}
	return dirs
}
