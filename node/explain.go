package node

import (
	"context"

	"millrace/cluster"
	"millrace/job"
)

// explain says why a job's tasks run where they do or why they wait; only the
// leader knows.
func (l *leader) explain(id job.ID) ([]job.Placement, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leading {
		return nil, cluster.ErrNotLeader
	}
	if l.rack == nil {
		return nil, nil // it has just begun to lead
	}
	return l.rack.explain(id), nil
}

// explain asks the leader, wherever it is.
func (c leaderCalls) explain(ctx context.Context, id job.ID) ([]job.Placement, error) {
	var told []job.Placement
	err := c.peer.CallLeader(ctx, callExplain, id, &told)
	return told, err
}

// explain says why a job's tasks run where they do or why they wait.
func (r *rack) explain(id job.ID) []job.Placement {
	told := r.engine.Explain(id)
	seen := r.jobs[id]
	switch {
	case seen == nil:
	case seen.held != nil:
		told = append(told, *seen.held)
	case seen.blocked:
		if why := r.engine.Unmet(seen.encode); why != "" {
			told = append(told, job.Placement{Task: job.TaskID(job.InspectTask), Count: 1, Reason: why})
		}
	}
	return told
}
