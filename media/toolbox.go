package media

import (
	"io"
	"log/slog"
	"time"

	"millrace/media/ffmpeg"
)

// Toolbox is what all of a node's tasks work with. It is safe for concurrent
// use; don't change it once tasks run.
type Toolbox struct {
	FFmpeg *ffmpeg.Tools
	Limits Limits
	// FirstFrameTimeout is how long ffmpeg may take to write its first frame.
	// It has to reach the keyframe before the chunk over a slow source.
	FirstFrameTimeout time.Duration
	// StallTimeout is how long ffmpeg may go without progress after that.
	StallTimeout time.Duration
	// Scratch is the folder that runs of ffmpeg get as their own.
	Scratch string
	// Nice is the niceness of ffmpeg, so that the peer itself stays responsive.
	Nice   int
	Logger *slog.Logger
}

// Limits is what a source may be before anything of it is encoded.
type Limits struct {
	MaxFrames   int64         // of the timeline
	MaxDuration time.Duration // of the timeline
}

// DefaultLimits admit a day of video, or ten hours at 120 frames per second.
var DefaultLimits = Limits{MaxFrames: 10 * 3600 * 120, MaxDuration: 24 * time.Hour}

// Input is a task's source: a loopback URL for ffmpeg, and the same bytes for us.
type Input struct {
	URL      string // on the loopback server
	Name     string // the source's own, without secrets, for messages
	Reader   io.ReaderAt
	Size     int64 // bytes
	Identity string
}
