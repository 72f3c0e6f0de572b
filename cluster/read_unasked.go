//go:build millrace_broken_reads

package cluster

// readsAnything has View answer with whatever this peer has applied, however
// old. It is wrong, and only for showing that the test of linearizability finds
// out such a thing; no program that is to be used is built with its tag.
const readsAnything = true
