//go:build race

package node_test

// stormShare makes storms smaller under the race detector, which makes every access dear.
const stormShare = 10
