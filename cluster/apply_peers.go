package cluster

import (
	"time"
)

// A peer that was removed must stay out though it still has what made it a
// member, and though raft's configuration says nothing of it: that holds only
// those that have the log. So the state says who was removed.
type (
	// expelPeer has the cluster refuse a peer that was one of it. Expelling one
	// twice changes nothing. Errors: ErrNodeID.
	expelPeer struct {
		Peer string    `json:"peer"`
		At   time.Time `json:"at"`
	}

	// readmitPeer takes that back: a peer of that name has come anew, with an
	// empty data folder. Errors: ErrNodeID.
	readmitPeer struct {
		Peer string    `json:"peer"`
		At   time.Time `json:"at"`
	}
)

// expelledPeer is a peer that was removed from the cluster.
type expelledPeer struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// Name implements Command.
func (expelPeer) Name() string { return "expel_peer" }

// Name implements Command.
func (readmitPeer) Name() string { return "readmit_peer" }

func (c expelPeer) apply(t *tx) (any, error) {
	if err := checkNodeID(c.Peer); err != nil {
		return nil, err
	}
	if _, ok := first[*expelledPeer](t.txn, tableExpelled, indexID, part(nil, c.Peer)); !ok {
		t.put(tableExpelled, &expelledPeer{ID: c.Peer, At: c.At})
	}
	return nil, nil
}

func (c readmitPeer) apply(t *tx) (any, error) {
	if err := checkNodeID(c.Peer); err != nil {
		return nil, err
	}
	if row, ok := first[*expelledPeer](t.txn, tableExpelled, indexID, part(nil, c.Peer)); ok {
		t.remove(tableExpelled, row)
	}
	return nil, nil
}

// expelled says whether a peer was removed, as far as this peer has applied the log.
func (p *Peer) expelled(id string) bool {
	_, ok := first[*expelledPeer](p.machine.current.Load().txn(), tableExpelled, indexID, part(nil, id))
	return ok
}
