package main

// clusterCommand has the commands about the cluster as a whole.
type clusterCommand struct {
	Status clusterStatusCommand `cmd:"" help:"Show who is in the cluster and whether they agree."`
}
