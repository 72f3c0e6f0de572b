package node

// marks are what an operator says of a node, for as long as its process runs.
type marks struct {
	// labels are what jobs can require of it, taints what they must require to be let
	// in (see scheduler.Node).
	labels, taints []string
	hours          WorkHours
}
