package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"millrace/api/client"
)

// clusterStatusCommand shows who is in the cluster and whether they agree.
type clusterStatusCommand struct{ remote }

// errUnhealthy is a cluster that takes no jobs, or is about to take none.
var errUnhealthy = errors.New("the cluster isn't healthy: it has no leader, or a majority of its voters isn't well")

// Run shows the cluster. The exit code is 4 when it isn't healthy, as for any
// server that takes no requests.
func (c *clusterStatusCommand) Run(ctx context.Context, std streams) error {
	peer, err := c.dial()
	if err != nil {
		return err
	}
	status, err := peer.Cluster(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = std.writeJSON(status)
	} else {
		err = printCluster(std, status)
	}
	if err == nil && !status.Healthy {
		err = errUnhealthy
	}
	return err
}

func printCluster(std streams, status client.ClusterStatus) error {
	out := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%s\t%s\n", name, strings.ReplaceAll(printable(fmt.Sprintf(format, args...)), "\n", "; "))
	}
	line("cluster", "%s", orDash(status.ID))
	line("healthy", "%s", yesNo(status.Healthy))
	if status.Leader == nil {
		line("leader", "none")
	} else {
		line("leader", "%s %s", status.Leader.ID, orDash(status.Leader.Address))
	}
	line("term", "%d", status.Term)
	for _, voter := range status.Voters {
		line("voter", "%s", voterText(voter))
	}
	for _, follower := range status.Followers {
		line("follower", "%s", voterText(follower))
	}
	for _, worker := range status.Workers {
		line("worker", "%s %s", worker.ID, orDash(worker.Address))
	}
	line("asked", "%s, which is %s", status.Peer.ID, status.Peer.State)
	line("", "log to %d, committed to %d, applied to %d", status.Peer.LastIndex, status.Peer.CommitIndex, status.Peer.AppliedIndex)
	if reason := status.Peer.Detached; reason != nil {
		line("", "not in contact with the cluster: %s", *reason)
	}
	if reason := status.Peer.Halted; reason != nil {
		line("", "has stopped: %s", *reason)
	}
	if end := status.Peer.CertificateExpires; end != nil {
		line("", "its certificate ends on %s", localTime(*end))
	}
	return out.Flush()
}

func voterText(voter client.Voter) string {
	state := "well"
	if !voter.Healthy {
		state = "not well"
	}
	return fmt.Sprintf("%s %s %s", voter.ID, orDash(voter.Address), state)
}
