// Package hwaccel knows the things that encode: which devices a machine has,
// which encoders really work on them and how fast, and the arguments that each
// encoder needs.
//
// A listed encoder is not a working one: ffmpeg names h264_nvenc on machines
// without any GPU. So discovery says what might work and a trial encode says
// what does:
//
//	device, room := hwaccel.DiscoverCPU(os.DirFS("/"), hwaccel.Affinity())
//	profile, err := hwaccel.Trials{Tools: tools, Cache: file, Scratch: dir}.Profile(ctx, device, room)
//
// The [Profile] is kept on disk until device, driver or ffmpeg change. One table
// (rows_*.go) has a [Row] for each encoder; adding an encoder is adding a row,
// and a test checks each option in it against what the installed ffmpeg declares.
package hwaccel
