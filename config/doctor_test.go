package config

import (
	"bytes"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sound is a machine without a fault.
func sound() Facts {
	return Facts{
		OpenFiles: 1 << 20, Backlog: 4096, SynBacklog: 4096,
		Ports: []PortFact{{Key: "listen", Address: ":8000"}},
		Clock: ClockFacts{Now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)},
		Data:  &FolderFacts{Free: 100 << 30, Filesystem: "ext4", Sync: time.Millisecond},
		Files: []FileFact{{Key: "secret", Path: "s", Mode: 0o600, Secret: true}, {Key: "tls.cert", Path: "c", Mode: 0o644}}, Memory: 16 << 30,
	}
}

func TestSoundMachine(t *testing.T) {
	c := Default()
	c.Data = "d"
	var out bytes.Buffer
	if err := WriteFindings(&out, Examine(&c, sound())); err != nil || strings.Contains(out.String(), "warn") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if n := strings.Count(out.String(), "\n"); n != 9 {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
}

// Each fault of a machine is found, and its cure is named.
func TestEachCheckCanFail(t *testing.T) {
	for _, c := range []struct {
		check   string
		spoil   func(*Facts)
		verdict Verdict
		says    string
	}{
		{"open files", func(f *Facts) { f.OpenFiles = 1024 }, Fail, "LimitNOFILE=100256"},
		{"open files", func(f *Facts) { f.OpenFiles = 0 }, Warn, "cannot be read"},
		{"backlog", func(f *Facts) { f.Backlog = 128 }, Fail, "net.core.somaxconn=4096"},
		{"backlog", func(f *Facts) { f.SynBacklog = 256 }, Warn, "tcp_max_syn_backlog=4096"},
		{"backlog", func(f *Facts) { f.Backlog = 0 }, Warn, "cannot be read"},
		{"port", func(f *Facts) { f.Ports[0].Err = errors.New("address already in use") }, Fail, "set listen"},
		{"clock", func(f *Facts) { f.Clock.Now = time.Unix(0, 0) }, Fail, "set the clock"},
		{"clock", func(f *Facts) { f.Clock.Now = f.Clock.Now.AddDate(200, 0, 0) }, Fail, "2226"},
		{"clock", func(f *Facts) { f.Clock.Drift = -time.Hour }, Warn, "jumped by -1h"},
		{"data", func(f *Facts) { f.Data.Err = os.ErrNotExist }, Fail, "install -d -m 700 d"},
		{"data", func(f *Facts) { f.Data.Network, f.Data.Filesystem = true, "nfs" }, Fail, "local disk"},
		{"disk", func(f *Facts) { f.Data.Free = 1 << 20 }, Fail, "1 MiB free"},
		{"disk", func(f *Facts) { f.Data.Free = 500 << 20 }, Warn, "bound retention"},
		{"disk", func(f *Facts) { f.Data.Free = math.MaxUint64 }, Warn, "cannot be read"},
		{"fsync", func(f *Facts) { f.Data.Sync = 30 * time.Millisecond }, Warn, "30ms"},
		{"fsync", func(f *Facts) { f.Data.Sync = time.Second }, Fail, "local disk"},
		{"files", func(f *Facts) { f.Files[0].Mode = 0o604 }, Fail, "run chmod 600 on it"},
		{"files", func(f *Facts) { f.Files[0].Mode = 0o640 }, Warn, "a whole group"},
		{"files", func(f *Facts) { f.Files[1].Mode = 0o666 }, Fail, "everybody may change"},
		{"files", func(f *Facts) { f.Files[1].Err = os.ErrPermission }, Fail, "cannot be read"},
		{"memory", func(f *Facts) { f.Memory = 1 << 30 }, Fail, "of 1024 MiB of this machine"},
		{"memory", func(f *Facts) { f.MemoryCap = 256 << 20 }, Fail, "of 256 MiB that the cgroup allows"},
		{"memory", func(f *Facts) { f.Memory = 2 << 30 }, Warn, "little is left"},
		{"memory", func(f *Facts) { f.Memory = 0 }, Warn, "cannot be read"},
	} {
		conf := Default()
		conf.Data = "d"
		f := sound()
		c.spoil(&f)
		found := Examine(&conf, f)
		if !slices.ContainsFunc(found, func(x Finding) bool {
			return x.Check == c.check && x.Verdict == c.verdict && strings.Contains(x.Text, c.says)
		}) {
			t.Errorf("%s: %+v", c.says, found)
		}
		var out bytes.Buffer
		if err := WriteFindings(&out, found); (err != nil) != (c.verdict == Fail) || !strings.Contains(out.String(), c.verdict.String()+"  ") {
			t.Errorf("%s: %v\n%s", c.says, err, out.String())
		}
	}
}

// The facts are those of the real machine.
func TestGather(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	c := Default()
	c.Listen, c.InternalListen, c.Data = busy.Addr().String(), "127.0.0.1:0", t.TempDir()
	c.Secret = NewSecret(canary(1), filepath.Join(c.Data, "missing"))
	f := Gather(&c)
	if f.Ports[0].Err == nil || f.Ports[1].Err != nil {
		t.Errorf("ports: %+v", f.Ports)
	}
	if f.Data.Err != nil || f.Data.Sync <= 0 || f.Data.Free == 0 {
		t.Errorf("data: %+v", f.Data)
	}
	if left, _ := os.ReadDir(c.Data); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if len(f.Files) != 1 || f.Files[0].Err == nil || !f.Files[0].Secret {
		t.Errorf("files: %+v", f.Files)
	}
	if f.OpenFiles == 0 || f.Clock.Now.IsZero() {
		t.Errorf("%+v", f)
	}
}

func TestGatherFolders(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(dir, "missing")} {
		if f := lookAtFolder(path); f.Err == nil || strings.Contains(f.Err.Error(), dir) {
			t.Errorf("%s: %v", path, f.Err)
		}
	}
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if f := lookAtFolder(locked); f.Err == nil && os.Geteuid() != 0 {
		t.Error("a folder that cannot be written raises no error")
	}
}

// The clocks part where one of them is set.
func TestDrift(t *testing.T) {
	now := time.Now()
	if d := drift(now, now.Add(time.Second)); d != 0 {
		t.Errorf("%s without a step", d)
	}
	// Round strips the monotonic reading, so that Sub compares wall clocks on both sides: no drift can be seen then.
	if d := drift(now, now.Add(time.Hour).Round(0)); d != 0 {
		t.Errorf("%s without a monotonic clock", d)
	}
}
