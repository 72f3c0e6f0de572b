// Package cluster is one peer's membership and agreement: the raft log and the
// state machine that every peer applies it to, the key that secrets are sealed
// with, the gossip by which peers find each other, and the calls between them.
//
// Open starts a peer; Propose and View work on any peer, whoever leads. What
// only the leader does runs under Lead; Handle and CallLeader carry what the
// rooms above have to say to it.
//
// The state is the jobs with their tasks, the organisations with their keys
// and webhooks, and the outbox of events not yet delivered. It changes only by
// a [Command] that raft has committed; the pure functions of package job say
// what a command does to a job. Reads never block writes.
package cluster
