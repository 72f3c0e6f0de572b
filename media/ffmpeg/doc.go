// Package ffmpeg runs ffmpeg and ffprobe as the untrusted programs that they
// are when the input comes from strangers. It knows processes, pipes and
// options, and nothing of ladders or jobs.
//
//	tools, err := ffmpeg.Find(ctx, "", "")
//	args := append(ffmpeg.InputArgs(url), "-c:v", "libx264", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov", "pipe:3")
//	report, err := tools.Run(ctx, ffmpeg.Command{
//		Args:    args,
//		Outputs: []func(io.Reader) error{cutIntoSegments}, // reads what ffmpeg writes to pipe:3
//		Dir:     scratch,
//		FirstFrameTimeout: time.Minute, StallTimeout: 30 * time.Second,
//		Sandbox: sandbox.ForInput(url),
//	})
//
// What [Tools.Run] promises:
//
//   - When it returns, the process, its children and every goroutine of the run
//     are gone. Cancelling the context, a watchdog, an output handler's error or
//     the output limit kill the whole process group with SIGKILL at once: what
//     is published is published atomically elsewhere, so there is nothing to
//     save by asking politely. If this program itself is killed, the kernel
//     kills ffmpeg (see process.go).
//   - An output handler reads io.EOF only after ffmpeg has exited with status
//     0. Any other ending reads as [ErrIncomplete], so half an output can't be
//     taken for a whole one.
//   - Memory stays bounded whatever ffmpeg writes: of its log the beginning and
//     the end are kept, and what is shown to people has no control characters.
//   - An exit status of 0 means only that: a source that is cut off decodes to
//     fewer frames and exit status 0. Count what came out.
//
// Hostile input is held off in layers: allow-lists of protocols, demuxers and
// decoders (allow.go), a Landlock and seccomp sandbox around the process
// (sandbox.go), and limits on pixels, streams, time and output.
//
// A program that uses [Sandbox] must call [MaybeRunSandbox] first thing in main,
// and in TestMain of its tests, because the sandbox is entered by running the
// program itself once more.
package ffmpeg
