//go:build race

package rules

// pace leaves most of long runs out: nothing here runs at once, and the detector makes it 20 times slower.
const pace = 10
