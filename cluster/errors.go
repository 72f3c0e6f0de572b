package cluster

import "errors"

var (
	// ErrNotFound is the answer for what doesn't exist and for what belongs to
	// another organisation: the two can't be told apart.
	ErrNotFound = errors.New("not found")
	// ErrExists: something else has this ID already.
	ErrExists = errors.New("this id is taken")
	// ErrReserved: an organisation can't be called so (see ReservedOrganisations).
	ErrReserved = errors.New("this name is the API's own")
	// ErrIdempotencyConflict: the idempotency key was used for another request.
	ErrIdempotencyConflict = errors.New("this idempotency key was used for another request")
	// ErrOutputInUse: another unfinished job writes to the same output path. A
	// cancelled job is unfinished until its cleanup task is through.
	ErrOutputInUse = errors.New("another unfinished job writes to this output path")
	// ErrQueueFull: the organisation has as many jobs waiting to begin as it may.
	ErrQueueFull = errors.New("the organisation has as many jobs waiting as it may")
	// ErrLimits: these can't be an organisation's limits.
	ErrLimits = errors.New("a weight is between 0.01 and 100 or 0 for 1, a number of jobs or minutes is between 0 and 1,000,000,000")
	// ErrNoLeader: no leader is known or it can't reach a quorum; try again later.
	ErrNoLeader = errors.New("the cluster has no leader now")
	// ErrNotLeader: another peer leads; ask that one (see Status).
	ErrNotLeader = errors.New("another peer leads the cluster")
	// ErrClosed: this peer is shutting down.
	ErrClosed = errors.New("this peer is shutting down")
	// ErrHalted: this peer met a log entry that it can't apply (from a newer
	// version, or damaged) and stopped rather than let its state diverge.
	ErrHalted = errors.New("this peer can't apply the log and has stopped")
	// ErrLocked: another process uses the data folder.
	ErrLocked = errors.New("the data folder is in use")
	// ErrDamaged: the data folder lacks what it once held; starting from it
	// could lose acknowledged jobs or split the cluster.
	ErrDamaged = errors.New("the data folder is damaged")
	// ErrOtherCluster: the other peer belongs to another cluster, or to none.
	ErrOtherCluster = errors.New("another cluster")
	// ErrRemoved: this peer was removed from its cluster; its data folder must
	// be emptied before it can join again.
	ErrRemoved = errors.New("this peer was removed from the cluster: empty its data folder to join anew")
	// ErrNodeID: this can't be a node's ID.
	ErrNodeID = errors.New("a node's id has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit")
	// ErrNoState: this peer is a worker: it doesn't hold the state. Ask the leader
	// (CallLeader, ForwardHTTP).
	ErrNoState = errors.New("this peer doesn't hold the cluster's state")
	// ErrUpgrading: a peer still runs a program that doesn't know this command.
	ErrUpgrading = errors.New("not all peers understand this command yet: upgrade the others")
	// ErrUnreachable: a peer that was called can't be reached.
	ErrUnreachable = errors.New("the peer can't be reached")

	// errUncertain: a leader may or may not have put a command into the log.
	errUncertain = errors.New("the outcome isn't known")
	// errNoMethod: a peer was asked for what it doesn't know.
	errNoMethod = errors.New("this peer knows no such call")
)
