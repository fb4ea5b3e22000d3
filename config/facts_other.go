//go:build !linux

package config

import "math"

// fileSystem knows nothing of other systems' disks, and so finds no fault with them.
func fileSystem(string) (free uint64, name string, network bool) { return math.MaxUint64, "", false }
