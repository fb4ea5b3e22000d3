package app_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"carillon/app"
)

// What was written is read; a snapshot that was cut anywhere, that goes on, or that is of a newer program, is not.
func TestSnapshotReader(t *testing.T) {
	whole := app.AppendFlags([]byte{7}, false, true, true)
	whole = binary.AppendVarint(whole, -12345)
	whole = binary.AppendUvarint(whole, 1<<40)
	whole = app.AppendText(whole, "who is there?")
	whole = append(app.AppendText(whole, []byte{0, 255}), 3)
	read := func(b []byte) error {
		r := app.ReadSnapshot(b, 7)
		flags, number, count, text, bytes, kind := r.Byte(), r.Int(), r.Uint(), r.Text(), r.Bytes(), r.Below(4)
		if !r.Failed() && (flags != 6 || number != -12345 || count != 1<<40 || text != "who is there?" || string(bytes) != "\x00\xff" || kind != 3) {
			t.Errorf("%d bytes are read as %d, %d, %d, %q, %x, %d", len(b), flags, number, count, text, bytes, kind)
		}
		return r.End("test:it")
	}
	if err := read(whole); err != nil {
		t.Error(err)
	}
	for cut := range whole {
		if err := read(whole[:cut]); err == nil || !strings.Contains(err.Error(), "test:it") {
			t.Errorf("the first %d bytes alone: %v", cut, err)
		}
	}
	long := binary.AppendUvarint([]byte{7, 6, 1, 1}, 1<<62)
	for name, b := range map[string][]byte{
		"more":        append(whole[:len(whole):len(whole)], 0),
		"newer":       append([]byte{8}, whole[1:]...),
		"no such one": append(whole[:len(whole)-1:len(whole)-1], 4),
		"huge":        long,
	} {
		if err := read(b); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}
