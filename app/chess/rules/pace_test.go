//go:build !race

package rules

// pace is which part of long runs is done: one of so many.
const pace = 1
