package cluster

import (
	"time"

	"millrace/job"
)

// Command is one change of the cluster's state, as it lies in the raft log.
// Applying it reads no clock, random source or environment: whoever proposes a
// command has put every time and identifier into it.
//
// Commands are JSON objects. A field that a peer doesn't know is ignored; a
// command that it doesn't know, or whose version is newer than it can apply,
// stops the peer loudly rather than let its state diverge.
type Command interface {
	// Name is the command's name in the log; it never changes.
	Name() string
}

// The commands, in the order of a cluster's and a job's life.
type (
	// CreateOrganisation adds an organisation, without limits: see SetLimits. Adding
	// one that exists is no error.
	// Errors: ErrReserved.
	CreateOrganisation struct {
		Organisation Organisation `json:"organisation"`
	}

	// SetLimits says what an organisation may have of the cluster from now on:
	// jobs that are being encoded or are in its queue already stay. Answers
	// *Organisation. Errors: ErrNotFound, ErrLimits.
	SetLimits struct {
		Org    string    `json:"org"`
		Limits Limits    `json:"limits"`
		At     time.Time `json:"at"`
	}

	// CreateKey adds an API key. Adding one that exists (by ID) is no error.
	CreateKey struct {
		Key Key `json:"key"`
	}

	// RevokeKey takes a key's rights away.
	RevokeKey struct {
		Org string    `json:"org"`
		ID  string    `json:"id"`
		At  time.Time `json:"at"`
	}

	// CreateJob queues a job. With an idempotency key that was used within
	// IdempotencyWindow before At, the answer is the job of that time when
	// RequestHash is the same and ErrIdempotencyConflict when it is not.
	// The same command twice (by ID and At) makes one job.
	// Answers *job.Job. Errors: ErrNotFound (the organisation),
	// ErrIdempotencyConflict, ErrOutputInUse, ErrExists, ErrQueueFull.
	CreateJob struct {
		ID             job.ID    `json:"id"`
		Org            string    `json:"org"`
		Spec           job.Spec  `json:"spec"`
		At             time.Time `json:"at"`
		IdempotencyKey string    `json:"idempotency_key,omitempty"`
		RequestHash    string    `json:"request_hash,omitempty"` // SHA-256 of the canonical request, hex
	}

	// StartAttempts gives waiting tasks to nodes, and running ones a backup, which
	// needs version 3. Assignments that are out of date are left out; the others hold. The first task of a job's run that
	// encodes counts for its organisation's day. Answers []job.Ref, those that hold.
	StartAttempts struct {
		Assignments []JobAssignment `json:"assignments"`
		At          time.Time       `json:"at"`
	}

	// PlanJob takes the plan that an inspect attempt reported and queues its
	// tasks (see job.Record.Adopt).
	PlanJob struct {
		Ref   job.Ref    `json:"ref"`
		Plan  job.Plan   `json:"plan"`
		Tasks []job.Task `json:"tasks"`
		At    time.Time  `json:"at"`
	}

	// FinishTask takes an attempt's result.
	FinishTask struct {
		Ref    job.Ref    `json:"ref"`
		Result job.Result `json:"result"`
		// EnergyJoules is what the attempt took, 0 where that isn't known.
		EnergyJoules float64   `json:"energy_joules,omitempty"`
		At           time.Time `json:"at"`
	}

	// FailTask takes an attempt's failure (see job.Record.Fail).
	FailTask struct {
		Ref       job.Ref      `json:"ref"`
		Failure   job.Failure  `json:"failure"`
		LastWords string       `json:"last_words,omitempty"`
		Redo      []job.TaskID `json:"redo,omitempty"`
		// EnergyJoules is what the attempt took, 0 where that isn't known.
		EnergyJoules float64   `json:"energy_joules,omitempty"`
		At           time.Time `json:"at"`
	}

	// LoseAttempts ends attempts whose node died, restarted or gave them back.
	// Refs that are out of date are left out.
	LoseAttempts struct {
		Refs    []job.Ref   `json:"refs"`
		Outcome job.Outcome `json:"outcome"` // job.OutcomeLost or job.OutcomeStopped
		Reason  string      `json:"reason"`
		At      time.Time   `json:"at"`
	}

	// ChangeEncoder binds a job's renditions to another encoder, since theirs
	// can't be used any more (see job.Record.ChangeEncoder), or to the same with
	// other headers, which needs version 3. Errors:
	// ErrNotFound, job.ErrTransition when that has been done already.
	ChangeEncoder struct {
		Job    job.ID            `json:"job"`
		Change job.EncoderChange `json:"change"`
		At     time.Time         `json:"at"`
	}

	// CancelJob ends a job at its client's wish. Answers *job.Job. Errors:
	// ErrNotFound, job.ErrEnded.
	CancelJob struct {
		Org string    `json:"org"`
		ID  job.ID    `json:"id"`
		At  time.Time `json:"at"`
	}

	// RetryJob queues a failed or cancelled job again. Answers *job.Job.
	// Errors: ErrNotFound, job.ErrNotEnded, job.ErrStopping, ErrOutputInUse, ErrQueueFull.
	RetryJob struct {
		Org         string           `json:"org"`
		ID          job.ID           `json:"id"`
		Resolutions []job.Resolution `json:"resolutions,omitempty"`
		At          time.Time        `json:"at"`
	}

	// PutWebhook creates or replaces a webhook by its ID. Answers *Webhook.
	PutWebhook struct {
		Webhook Webhook `json:"webhook"`
	}

	// DeleteWebhook removes a webhook, its undelivered events and its delivery
	// log. Errors: ErrNotFound.
	DeleteWebhook struct {
		Org string `json:"org"`
		ID  string `json:"id"`
	}

	// RecordDelivery stores the outcome of one try to deliver an event: it is
	// done (delivered or given up), or due again. Errors: ErrNotFound when the
	// webhook was deleted meanwhile: there is nothing left to do.
	RecordDelivery struct {
		Event    uint64   `json:"event"`
		Delivery Delivery `json:"delivery"`
		// Done removes the event from the outbox.
		Done bool `json:"done"`
		// PauseWebhook stops deliveries to the webhook, with this reason shown
		// to its owner, until it is put again.
		PauseWebhook string `json:"pause_webhook,omitempty"`
	}

	// Redeliver puts a delivered or given-up event back into the outbox.
	// Errors: ErrNotFound.
	Redeliver struct {
		Org     string `json:"org"`
		Webhook string `json:"webhook"`
		Event   uint64 `json:"event"`
	}

	// Prune forgets ended jobs, idempotency keys and delivery records that
	// ended before the given times, and the oldest ended jobs beyond KeepJobs.
	// Jobs that are still being stopped or cleaned up are kept. Events that wait
	// for a paused webhook are delivery records too. Answers *Pruned; each kind
	// is forgotten up to 5000 at a time, so propose again while that is reached.
	Prune struct {
		JobsBefore        time.Time `json:"jobs_before"`
		KeepJobs          int       `json:"keep_jobs"` // 0: any number
		IdempotencyBefore time.Time `json:"idempotency_before"`
		DeliveriesBefore  time.Time `json:"deliveries_before"`
	}

	// SetDrain says whether a node is to get nothing new to do. It outlives the
	// node's restarts, and the node need not be there. Asking for what is so
	// already changes nothing. Answers *NodeState. Errors: ErrNodeID.
	SetDrain struct {
		Node     string    `json:"node"`
		Draining bool      `json:"draining"`
		At       time.Time `json:"at"`
	}

	// ForgetNode drops what is kept of a node, as when it was removed for good.
	// Forgetting one of which nothing is kept is no error. Errors: ErrNodeID.
	ForgetNode struct {
		Node string    `json:"node"`
		At   time.Time `json:"at"`
	}
)

// JobAssignment is a job.Assignment and the job it is of.
type JobAssignment struct {
	Job job.ID `json:"job"`
	job.Assignment
}

// IdempotencyWindow is how long an idempotency key stands for its job.
const IdempotencyWindow = 24 * time.Hour

// Name implements Command.
func (CreateOrganisation) Name() string { return "create_organisation" }

// Name implements Command.
func (SetLimits) Name() string { return "set_limits" }

// An older peer would stop at it; and what follows from limits, it would not do.
func (SetLimits) version() int { return 2 }

// Name implements Command.
func (CreateKey) Name() string { return "create_key" }

// Name implements Command.
func (RevokeKey) Name() string { return "revoke_key" }

// Name implements Command.
func (CreateJob) Name() string { return "create_job" }

// Name implements Command.
func (StartAttempts) Name() string { return "start_attempts" }

// Name implements Command.
func (PlanJob) Name() string { return "plan_job" }

// Name implements Command.
func (FinishTask) Name() string { return "finish_task" }

// Name implements Command.
func (FailTask) Name() string { return "fail_task" }

// Name implements Command.
func (LoseAttempts) Name() string { return "lose_attempts" }

// Name implements Command.
func (ChangeEncoder) Name() string { return "change_encoder" }

// Name implements Command.
func (CancelJob) Name() string { return "cancel_job" }

// Name implements Command.
func (RetryJob) Name() string { return "retry_job" }

// Name implements Command.
func (PutWebhook) Name() string { return "put_webhook" }

// Name implements Command.
func (DeleteWebhook) Name() string { return "delete_webhook" }

// Name implements Command.
func (RecordDelivery) Name() string { return "record_delivery" }

// Name implements Command.
func (Redeliver) Name() string { return "redeliver" }

// Name implements Command.
func (Prune) Name() string { return "prune" }

// Name implements Command.
func (SetDrain) Name() string { return "set_drain" }

// Name implements Command.
func (ForgetNode) Name() string { return "forget_node" }
