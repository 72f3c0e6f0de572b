// Package clustertest tests several Millrace peers as their operators meet
// them: the program itself, started as processes on machines of their own
// (millrace/clustertest/netlab), with real ffmpeg and a real S3 server, under
// SIGKILL, SIGSTOP, cut, lossy and slow links. It has no code but tests, and
// they know of a peer what anybody can see: the command line, the REST API, the
// outputs, the log and /proc.
//
// # How a test goes
//
//	c := newTeam(t, 3)             // machines, folders, flags
//	c.form()                       // `millrace serve` on each, until all agree
//	j := c.submit(c.request("out", 10, "240p"))
//	c.leader().kill()
//	c.completes(j, 10, "240p")     // once; frames counted, webhooks told once
//
// At a test's end all links are healed and the peers are stopped by SIGTERM,
// which must end well and leave nothing.
//
// # What is promised
//
// A job whose creation was answered with 201 is acknowledged. Whatever is killed,
// stopped or cut off, it completes, once: every rung has every frame of the
// source, numbered (rig.CheckLadder), and the webhook was told of each change of
// its status by one event with one ID. Reads and writes on all peers are one
// history (linear_test.go), as porcupine checks.
//
// Nothing here asserts how long something took. docs/reliability.md says how to
// run the long random test, and what these tests have found.
package clustertest
