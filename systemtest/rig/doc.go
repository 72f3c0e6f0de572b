// Package rig holds what the tests of the whole system share: the program
// under test, stand-ins for ffmpeg, gates before an S3 server, receivers of
// webhooks, numbered clips, and the reading of what comes out.
//
//	func TestMain(m *testing.M) { os.Exit(rig.Main(m, testsAtOnce)) }
//
// Nothing here knows of a peer's inside, and nothing sleeps to hit a moment: a
// [StandIn] stops ffmpeg where the test says, a [Gate] holds a request to a
// store, and the test waits with [Eventually] until something stands there.
package rig
