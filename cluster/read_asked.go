//go:build !millrace_broken_reads

package cluster

// readsAnything is false: a View asks who leads. See read_unasked.go.
const readsAnything = false
