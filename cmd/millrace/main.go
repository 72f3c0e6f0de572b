// Command millrace is the whole of Millrace: a peer of the transcoding cluster
// (serve) and the tool that talks to one (submit, jobs, webhooks, …).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"millrace/media/ffmpeg"
)

func main() {
	// ffmpeg runs in a sandbox that this program enters before it becomes
	// ffmpeg; nothing may come before that.
	ffmpeg.MaybeRunSandbox()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the second has its usual effect: it kills.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], standardStreams())
	stop()
	os.Exit(code)
}
