package cluster

import (
	"errors"
	"testing"
)

func TestARemovalIsKeptUntilThePeerIsReadmitted(t *testing.T) {
	b := newBench(t)
	kept := func() bool {
		_, ok := first[*expelledPeer](b.m.current.Load().txn(), tableExpelled, indexID, part(nil, "a"))
		return ok
	}
	b.do(expelPeer{Peer: "a", At: noon})
	b.do(expelPeer{Peer: "a", At: noon})
	if !kept() {
		t.Error("it isn't")
	}
	b.do(readmitPeer{Peer: "a", At: noon})
	b.do(readmitPeer{Peer: "a", At: noon})
	if kept() {
		t.Error("it is kept afterwards")
	}
	for _, command := range []Command{expelPeer{Peer: "no peer"}, readmitPeer{}} {
		if _, err := b.try(command); !errors.Is(err, ErrNodeID) {
			t.Errorf("%+v: %v", command, err)
		}
	}
}
