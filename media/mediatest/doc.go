// Package mediatest gives tests videos to work on, and a place to do so.
//
//	clip := mediatest.Clip(t, "phone.mp4")                   // made by others, with a real camera
//	made := mediatest.Make(t, "a.mkv", "-f", "lavfi", "-i", …) // made by ffmpeg, by the command that is there to read
//	bench := mediatest.Open(t, clip)                          // the source on loopback, an empty output folder
//
// Real clips aren't in the repository: scripts/fetch-media.sh gets them from
// Debian's archive. A test that can't have its clip is skipped and says what to
// do about that. ffmpeg itself must be there.
//
// A test binary that opens a Bench must call ffmpeg.MaybeRunSandbox first thing
// in TestMain, as every program that runs ffmpeg does.
package mediatest
