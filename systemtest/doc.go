// Package systemtest tests Millrace as its users meet it: the program itself,
// started as a process, with real ffmpeg, a real S3 server, a real browser, and
// SIGKILL. It has no code but tests, and they know nothing of a peer's inside:
// they see the command line, the REST API, the files and objects that come out,
// the log, and /proc.
//
// # How a test goes
//
//	p := newPeer(t)                                   // a data folder, ports, flags
//	p.start()                                         // `millrace serve`, up to /readyz
//	j := p.submit(request(p, rig.Numbered(t, 10), …)) // over the API
//	p.await(j.ID, job.Completed)
//	rig.CheckLadder(t, p.outputs+"/out", want)        // by ffmpeg and ffprobe
//
// At a test's end its peers are stopped by SIGTERM, which must end well, and
// nothing may be left: no process in the scratch folder, no file in it.
//
// # Moments
//
// Nothing here sleeps to hit a moment, or asserts how long something took.
// A [rig.StandIn] takes the place of ffmpeg and stops, dies or lies where the
// test says; a [rig.Gate] holds a request to a store. The test waits until
// something stands there, does what it came for, and lets go.
//
// # Pictures
//
// Sources are numbered clips: each frame shows its own number in ten gray
// blocks, so that any rung, any browser and any cut can be asked which frame a
// picture is.
package systemtest
