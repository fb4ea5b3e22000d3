//go:build !race

package node_test

const stormShare = 1
