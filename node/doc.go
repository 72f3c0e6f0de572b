// Package node is one running peer. [Run] wires the other rooms together and
// reads like a parts list; the rest of the package is the two halves of the
// work:
//
//	leader.go   runs on the peer that leads: it takes workers' reports, puts
//	            them into the state, and gives them new attempts
//	worker.go   runs on every peer: it polls the leader and runs attempts
//
// # The poll
//
// A worker's [Report] says everything: which attempts it runs, and which have
// ended and how. The leader's [Orders] are derived from the state: start what
// the state says this worker holds and the report doesn't mention, stop what the
// state no longer has. So a lost message, a repeated one or a new leader needs
// no special case: the next poll puts things right.
//
// A worker's polls renew the leases of the attempts that it holds. Leases are
// kept in the leader's memory by its monotonic clock, never by wall time; a new
// leader gives every worker a whole lease to report before it takes attempts
// for lost. A report of an attempt that lost its lease is refused by the
// attempt's number.
package node
