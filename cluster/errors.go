package cluster

import "errors"

var (
	// ErrNotFound is the answer for what doesn't exist and for what belongs to
	// another organisation: the two can't be told apart.
	ErrNotFound = errors.New("not found")
	// ErrIdempotencyConflict: the idempotency key was used for another request.
	ErrIdempotencyConflict = errors.New("this idempotency key was used for another request")
	// ErrOutputInUse: another unfinished job writes to the same output path.
	ErrOutputInUse = errors.New("another unfinished job writes to this output path")
	// ErrNoLeader: no leader is known or it can't reach a quorum; try again later.
	ErrNoLeader = errors.New("the cluster has no leader now")
	// ErrClosed: this peer is shutting down.
	ErrClosed = errors.New("this peer is shutting down")
)
