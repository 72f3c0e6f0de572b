package cluster

import (
	"iter"
	"time"

	"millrace/job"
)

// View is a read-only snapshot of the state at one raft index: what it answers
// never changes, however long it is held. What it points to must not be changed.
type View interface {
	// Index is the raft index of the last command applied.
	Index() uint64

	Organisation(id string) (*Organisation, bool)
	// Organisations lists all of them, in a fixed order.
	Organisations() []*Organisation
	// Tally counts an organisation's jobs that haven't ended.
	Tally(org string) Tally
	// KeyByHash finds a key that isn't revoked by the SHA-256 of its text.
	KeyByHash(sha256 []byte) (*Key, bool)
	Keys(org string) []*Key

	// Repeats says whether a submission under an idempotency key at a time is answered
	// by an earlier one's job, or refused as another request (see CreateJob).
	Repeats(org, idempotencyKey string, at time.Time) bool

	// Job finds a job of an organisation.
	Job(org string, id job.ID) (*job.Job, bool)
	// Record finds a job with its tasks, whatever its organisation.
	Record(id job.ID) (job.Record, bool)
	// Jobs lists an organisation's jobs, newest first (by creation, then ID).
	Jobs(org string) iter.Seq[*job.Job]
	// Unsettled lists every job that has not ended, or whose tasks are still
	// being stopped or cleaned up, oldest first: all that a leader looks at.
	Unsettled() iter.Seq[job.Record]
	// UnsettledRecord finds one of them.
	UnsettledRecord(id job.ID) (job.Record, bool)
	// ChangedJobs lists the jobs that were created or changed after a raft index, as
	// they are in this view, and those that were deleted; each once, in no order. It
	// is false where the state doesn't know any more, since that is long ago or was
	// before it came here as a snapshot: then all jobs must be looked at.
	ChangedJobs(after uint64) (changed []*job.Job, gone []job.ID, known bool)

	Webhook(org, id string) (*Webhook, bool)
	// Webhooks lists an organisation's webhooks, oldest first.
	Webhooks(org string) []*Webhook
	// Outbox lists the events that aren't done, in order of their numbers.
	Outbox() iter.Seq[*Event]
	// Deliveries lists a webhook's events, done or not, newest first.
	Deliveries(org, webhook string) iter.Seq[*Event]

	// NodeState is what was decided about a node; false when nothing ever was.
	NodeState(id string) (NodeState, bool)
	// NodeStates lists the nodes about which something was decided, in a fixed
	// order.
	NodeStates() []NodeState

	// Changed is closed when any command has been applied after this view was taken.
	Changed() <-chan struct{}
	// Counts is the number of jobs in each status, for metrics.
	Counts() map[job.Status]int
}
