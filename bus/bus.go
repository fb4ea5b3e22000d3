// Package bus is the contract between nodes: it tells gateways elsewhere what became true here. It may lose, repeat and
// reorder; positions make that harmless. It never decides anything and keeps nothing. bus/local serves a single node;
// bus/bustest is the law for all.
package bus

import (
	"context"

	"carillon/channel"
)

// In is where a Feed delivers; a Feed is made with it. Both functions only enqueue.
// Records is called with records of joined channels, in the order carried where the bus can keep it.
// Trouble tells that records may have been lost from now on (down) or that the line is whole again.
type In struct {
	Records func([]channel.Record)
	Trouble func(down bool)
}

// Feed carries records to every node that joined their channel.
type Feed interface {
	// Carry hands records on to all nodes that joined, this one included. It never blocks.
	Carry(rs []channel.Record)
	// Join begins delivery: when it returns, whatever is carried from now on is delivered. Joining twice is joining once.
	Join(ctx context.Context, n channel.Name) error
	// Leave ends delivery; records under way may still arrive.
	Leave(n channel.Name)
}
