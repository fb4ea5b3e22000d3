//go:build !race

package limit

// million is how many keys the tests of memory use.
const million = 1_000_000
