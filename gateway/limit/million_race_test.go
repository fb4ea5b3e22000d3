//go:build race

package limit

// million is less under the race detector, which makes every access dear; memory is measured without it.
const million = 100_000
