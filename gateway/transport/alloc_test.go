//go:build !race

package transport

import "testing"

// The race detector makes pools forget at random, so that allocations are counted without it.

func TestOutletAllocatesNothing(t *testing.T) {
	var o Outlet
	frame := testFrame(kindRecord, 1, 130)
	o.Init(&taker{}, &silent{frame}, 1000)
	if n := testing.AllocsPerRun(1000, func() {
		o.Kick()
		if err := o.Send(frame); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations a write", n)
	}
}
