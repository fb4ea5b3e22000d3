package bus

import "errors"

// How an owner answers a command that got no reply of its service.
var (
	// ErrStopped: the channel is stopped after its service failed in it. Nothing was done; ask again later, with the same id.
	ErrStopped = errors.New("the channel is stopped after a failure of its service")
	// ErrFailed: the service fails on this command, whenever it is tried. Nothing was done. Final.
	ErrFailed = errors.New("the service fails on this command")
	// ErrUnavailable: what the owner needs cannot be reached now. Nothing was done; ask again later.
	ErrUnavailable = errors.New("the owner of the channel cannot reach its store")
)
