package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// A cluster is upgraded one peer at a time, so peers of two programs share a
// log for a while. The rules:
//
//   - A field that an old peer may ignore is simply added to a command.
//   - A command, or a use of one, that an old peer would misread gets the next
//     version (see versioned), and commandVersion grows to it.
//   - Every peer tells by gossip which version it understands. A command of a
//     newer version than all that hold the log understand is refused with
//     ErrUpgrading, by its proposer and by the leader: what it is for can be used
//     once the last peer is upgraded, and everything else meanwhile.
//   - A peer that was out of sight all the while, or is set back to the old
//     program, stops at the first entry that it doesn't understand (ErrHalted).

// commandVersion is the newest version of the commands that this peer applies:
// version 2 brought SetLimits, version 3 the change to an encoder of the same name
// and backup attempts, version 4 many commands in one entry, version 5 jobs that say
// where or by when they are to be done, version 6 plans with several encoders.
// It is a variable only for the test that builds the next program.
var commandVersion = 6

// versioned is a command that needs more than version 1 to be understood, as it
// stands: an added field may make only those need it that use it.
type versioned interface {
	version() int
}

func versionOf(command Command) int {
	if v, ok := command.(versioned); ok {
		return v.version()
	}
	return 1
}

// understood is the newest version of the commands that every peer which holds
// the log understands, as far as this one knows: one that gossip has never
// seen isn't counted.
func (p *Peer) understood() int {
	least := commandVersion
	if p.gossip() == nil {
		return least
	}
	for _, server := range p.servers() {
		if version, known := p.gossip().understands(server.ID); known {
			least = min(least, version)
		}
	}
	return least
}

// checkUnderstood refuses a command of a version that would stop a peer.
func (p *Peer) checkUnderstood(version int) error {
	if version == 1 {
		return nil
	}
	if understood := p.understood(); version > understood {
		return fmt.Errorf("%w: it is of version %d, all understand up to %d", ErrUpgrading, version, understood)
	}
	return nil
}

// understands is the version of the commands that a peer told of when it was
// last seen.
func (g *gossip) understands(id raft.ServerID) (version int, known bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if member, seen := g.seen[string(id)]; seen {
		return max(member.Commands, 1), true
	}
	version, known = g.gone[string(id)]
	return max(version, 1), known
}

// maxGone bounds the peers that are remembered after they have gone.
const maxGone = 1024

// remember keeps what a peer that goes understood. The caller holds g.mu.
func (g *gossip) remember(member Member) {
	if g.gone == nil || len(g.gone) >= maxGone {
		g.gone = make(map[string]int)
	}
	g.gone[member.ID] = member.Commands
}
