// Package scheduler decides which node runs which task, and how a job's
// timeline is cut into chunks. It is pure: a decision is a function of its
// [Input], with no clock, I/O, randomness or goroutine, so that the same input
// always gives the same decision and whole racks can be simulated.
//
// A decision goes through three steps:
//
//	order    waiting tasks in the order in which they deserve a place
//	fit      the devices that can do a task and have room for it now
//	choose   among those the one that finishes it first
//
// The room that running attempts take up is part of the input: it is counted
// from the state, never from what nodes say of themselves, so no node is
// promised more than it measured.
package scheduler
