package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// machine is the state machine: it applies committed commands to the state,
// the same way on every peer. Raft calls it from one goroutine; views are
// taken from any.
type machine struct {
	db      atomic.Pointer[database] // replaced as a whole by Restore
	current atomic.Pointer[view]

	proposals *proposals // of the goroutine that applies and restores
	journal   *journal   // likewise, another for each state that is restored

	waiting waiting

	halt     sync.Once
	halted   chan struct{} // closed when an entry can't be applied
	haltedBy error         // set before halted is closed
}

// answer is what the machine tells the proposer of a command.
type answer struct {
	value any
	err   error
}

func newMachine() *machine {
	m := &machine{halted: make(chan struct{})}
	m.load(newDB(), newProposals(nil), 0)
	return m
}

// load puts a state in the place of the present one.
func (m *machine) load(db *database, known *proposals, index uint64) {
	m.db.Store(db)
	m.proposals, m.journal = known, &journal{from: index}
	m.publish(index)
}

// publish makes the state as it is now the one that is read, and wakes whoever
// waits for a change of the one before.
func (m *machine) publish(index uint64) {
	before := m.current.Swap(&view{db: m.db.Load().Snapshot(), proposals: m.proposals.rows, journal: m.journal, index: index, changed: make(chan struct{})})
	if before != nil {
		close(before.changed)
	}
}

// Apply implements raft.FSM.
func (m *machine) Apply(entry *raft.Log) any { return m.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch implements raft.BatchingFSM. A batch is one transaction: readers
// see all of it or nothing, and copied index nodes are shared by its commands.
// Raft's own callers get no answers: proposers wait for them by their IDs.
func (m *machine) ApplyBatch(entries []*raft.Log) []any {
	answers := make([]any, len(entries))
	txn := m.db.Load().Write()
	counts := countsOf(txn)
	var applied uint64
	told := make([]toldAnswer, 0, len(entries))
	t := &tx{txn: txn, counts: counts, proposals: m.proposals}
	var commands []decided
	for i, entry := range entries {
		if entry.Type != raft.LogCommand || m.haltError() != nil {
			answers[i] = answer{err: m.haltError()}
			continue
		}
		var err error
		if commands, err = decodeEntry(commands[:0], entry); err != nil {
			answers[i] = answer{err: m.stop(err)}
			continue
		}
		var last answer
		for _, c := range commands {
			if last = m.apply(t, c, entry.Index); m.haltError() != nil {
				break
			}
			told = append(told, toldAnswer{c.proposal.ID, last})
		}
		if answers[i] = last; m.haltError() == nil {
			applied = entry.Index
		}
	}
	if applied == 0 {
		return answers
	}
	if err := counts.store(txn); err != nil {
		return refuseAll(answers, m.stop(err))
	}
	txn.Commit()
	m.journal.add(applied, t.jobs)
	m.publish(applied)
	m.waiting.tell(told)
	return answers
}

func refuseAll(answers []any, err error) []any {
	for i := range answers {
		answers[i] = answer{err: err}
	}
	return answers
}

// settleWaiting tells the proposers whose commands came in a snapshot, without
// their answers, that nobody knows those any more.
func (m *machine) settleWaiting() {
	for _, id := range m.waiting.ids() {
		if index, ok := m.proposals.byID[id]; ok {
			m.waiting.tell([]toldAnswer{{id, answer{err: fmt.Errorf("%w: %w: it was applied at %d", ErrNoLeader, errUncertain, index)}}})
		}
	}
}

// apply runs one command. After one that can't be applied nothing is ever
// applied again: whatever came next would build on a state that no other peer has.
func (m *machine) apply(t *tx, c decided, index uint64) answer {
	t.index, t.wrote = index, false
	if err := t.admit(c.proposal); err != nil {
		return answer{err: err}
	}
	value, err := c.command.apply(t)
	if err != nil && t.wrote {
		return answer{err: m.stop(fmt.Errorf("command %s at %d wrote before it was refused: %w", c.command.Name(), index, err))}
	}
	t.remember(c.proposal)
	if t.err != nil {
		return answer{err: m.stop(fmt.Errorf("apply command %s at %d: %w", c.command.Name(), index, t.err))}
	}
	return answer{value, err}
}

// stop halts the machine for good.
func (m *machine) stop(cause error) error {
	m.halt.Do(func() {
		m.haltedBy = fmt.Errorf("%w: %w", ErrHalted, cause)
		close(m.halted)
	})
	return m.haltedBy
}

// haltError is why the machine has stopped, nil while it hasn't.
func (m *machine) haltError() error {
	select {
	case <-m.halted:
		return m.haltedBy
	default:
		return nil
	}
}
