// Package webhook delivers the outbox: each change of a job's status goes to
// each of its organisation's webhooks, at least once and in order per job.
//
// An event is put into the outbox by the very command that changes the job
// (package cluster), so none is lost and none tells of a change that never
// happened. A [Dispatcher] runs on the leader only, for as long as it leads:
//
//	dispatcher := webhook.New(webhook.Config{State: peer, Sealer: keyring, Client: client, Logger: log})
//	err := dispatcher.Run(ctx) // ctx ends with the leadership
//
// What it promises:
//
//   - At least once. A try's outcome is a command too; where the leader dies
//     between the two, the next one tries again. Receivers deduplicate by the
//     header webhook-id.
//   - In order per job and webhook: the next event of a job waits until the one
//     before it is delivered or given up. Other jobs don't wait.
//   - One endpoint never holds up another: each webhook has its own few tries
//     at once, and so has each organisation.
//   - Retries with growing, jittered pauses (see [Schedule]) whose state is in
//     the cluster, so they go on across restarts. An endpoint that fails for
//     the whole schedule, or that answers 410 Gone, is paused with the reason.
//
// Endpoints are hostile: redirects aren't followed, little of an answer is
// read, a try has a time limit, and the client that is passed in decides which
// addresses may be dialled.
package webhook
