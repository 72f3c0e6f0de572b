package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// proposal names one wish to put a command into the log, however often it is
// tried: the state applies it once.
type proposal struct {
	// ID is 130 random bits in base32; "" for entries of a time when there was
	// one peer and nothing was tried twice.
	ID string `json:"i,omitempty"`
	// Base is the raft index that the proposer's state had at the first try. An
	// entry that comes later than it by more than proposalWindow is refused: that
	// it was applied before may have been forgotten.
	Base uint64 `json:"b,omitempty"`
}

const (
	// proposalWindow is how many raft entries a proposal's ID is remembered for:
	// at some thousand entries a second, longer than a leader change takes.
	proposalWindow = 32 << 10
	// maxProposals is how many IDs are remembered, where entries hold many
	// commands: about 30 MB. Twice the window, so that entries of one command each
	// never come near it: programs from before groups don't know it.
	maxProposals = 2 * proposalWindow
)

// proposalRow is a proposal that was applied.
type proposalRow struct {
	ID    string `json:"id"`
	Index uint64 `json:"index"`
}

// proposals is those that were applied lately. They are no table: every command
// adds one and forgets one, in the order of the log, and nobody looks for them
// but the machine. A view has the rows as they were: rows is only cut at its
// beginning and added to at its end, so what a view has of it stays.
type proposals struct {
	rows []proposalRow     // by Index
	byID map[string]uint64 // their indexes; of the goroutine that applies
}

func newProposals(rows []proposalRow) *proposals {
	p := &proposals{byID: make(map[string]uint64, len(rows))}
	// Once they were written by ID. Those of one entry stay in their order.
	slices.SortStableFunc(rows, func(a, b proposalRow) int { return cmp.Compare(a.Index, b.Index) })
	for _, row := range rows {
		p.add(row)
	}
	return p
}

func (p *proposals) add(row proposalRow) {
	p.rows = append(p.rows, row)
	p.byID[row.ID] = row.Index
}

// full says whether as many are remembered as may be; then those before the first
// that is, or beside it in one entry, may have been forgotten.
func (p *proposals) full() bool { return len(p.rows) >= maxProposals }

// forget drops those before an index.
func (p *proposals) forget(before uint64) {
	for len(p.rows) > 0 && p.rows[0].Index < before {
		p.drop()
	}
}

// drop forgets the oldest.
func (p *proposals) drop() {
	delete(p.byID, p.rows[0].ID)
	p.rows = p.rows[1:]
}

// admit refuses a proposal that was, or may have been, applied before.
func (t *tx) admit(of proposal) error {
	if of.ID == "" {
		return nil
	}
	if index, ok := t.proposals.byID[of.ID]; ok {
		return fmt.Errorf("%w: %w: it was applied at %d", ErrNoLeader, errUncertain, index)
	}
	if t.index > of.Base+proposalWindow || t.proposals.full() && of.Base < t.proposals.rows[0].Index {
		return fmt.Errorf("%w: the proposal came too late", ErrNoLeader)
	}
	return nil
}

// remember notes that a proposal was applied, whether the command was refused
// or not, and forgets those that the window has passed.
func (t *tx) remember(of proposal) {
	if of.ID == "" {
		return
	}
	if t.proposals.full() {
		t.proposals.drop()
	}
	t.proposals.add(proposalRow{ID: of.ID, Index: t.index})
	if t.index > proposalWindow {
		t.proposals.forget(t.index - proposalWindow)
	}
}

// waiting is the proposers on this peer that wait for their commands to come
// with the log. So the answer is made here, by this peer's own state machine,
// and needs no encoding on its way from the leader.
type waiting struct {
	mu   sync.Mutex
	byID map[string]chan answer
}

// expect registers a proposal before it is first tried.
func (w *waiting) expect(id string) <-chan answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byID == nil {
		w.byID = make(map[string]chan answer)
	}
	answered := make(chan answer, 1)
	w.byID[id] = answered
	return answered
}

// ids lists the proposals that are waited for.
func (w *waiting) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.byID))
}

// forget ends the wait for an answer.
func (w *waiting) forget(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byID, id)
}

// toldAnswer is an answer for whoever waits for a proposal.
type toldAnswer struct {
	id string
	answer
}

// tell hands answers to whoever waits for them; only the first to each counts.
func (w *waiting) tell(answers []toldAnswer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range answers {
		if answered := w.byID[a.id]; answered != nil {
			answered <- a.answer
			delete(w.byID, a.id)
		}
	}
}
