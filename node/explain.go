package node

import (
	"context"
	"maps"
	"slices"
	"strings"

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
	case len(told) == 0 && r.engine.Encoder(seen.encoders, seen.labels...) == "":
		told = append(told, job.Placement{Task: job.TaskID(job.InspectTask), Count: 1, Reason: r.whyNoEncoder(seen.encoders, seen.labels)})
	}
	return told
}

// whyNoEncoder says why nothing makes a job's codec now, for people.
func (r *rack) whyNoEncoder(encoders string, labels []string) string {
	why := "no node that takes work has " + strings.ReplaceAll(encoders, ",", " or ")
	if len(labels) > 0 {
		why += " and the label " + strings.Join(labels, " and ")
	}
	var closed []string
	for _, id := range slices.Sorted(maps.Keys(r.closed)) {
		closed = append(closed, id+": "+r.closed[id])
	}
	if len(closed) > 0 {
		why += "; these take none: " + strings.Join(closed[:min(len(closed), 5)], "; ")
	}
	return why
}
