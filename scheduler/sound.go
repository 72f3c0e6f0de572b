package scheduler

import (
	"math"

	"millrace/job"
)

// A job's sound is one task, whose encoder has one thread. With several threads the task
// encodes pieces of it at once (media), so that sound isn't what a job waits for that has
// a whole rack for its pictures.

const (
	// audioSeconds is AAC in stereo for a frame's time on one thread: 93 times real time
	// was measured, at 30 frames, and 34 times for six channels (docs/benchmarks.md).
	audioSeconds = 1.0 / 90 / 30
	// soundThreads is the most threads that sound gets: the samples are decoded on one,
	// which has enough for ten.
	soundThreads = 8
	// soundPiece is about how many frames a piece lasts: a minute and a half.
	soundPiece = 90 * 30
	// soundBytes is what each piece takes that is encoded beside another: its samples, 34
	// MB, as much that isn't collected yet, and a run of ffmpeg, for which 56 MB were
	// measured.
	soundBytes = 128 << 20
	// soundUntil is when sound may be ready at the earliest, in seconds: sooner isn't
	// worth a thread.
	soundUntil = 2.0
)

// SoundFrames is how long a plan's sound takes, in frames of stereo: 30 a second.
func SoundFrames(plan *job.Plan) int64 {
	channels := 0
	for _, track := range plan.Audio {
		channels += max(2, track.Channels)
	}
	return max(1, int64(plan.Timeline.Duration().Seconds()*30*float64(channels)/2))
}

func (w *way) isSound() bool { return w.pile.work.Kind == job.AudioTask }

// widest is the most threads that a task of so many frames can use.
func (w *way) widest(frames int64) int {
	if w.isSound() {
		return soundWidest(frames)
	}
	return widest
}

func soundWidest(frames int64) int { return int(min(soundThreads, max(1, frames/soundPiece))) }

// soundAtLeast is how long the sound of so many frames takes at least, in seconds.
func soundAtLeast(frames int64) float64 {
	seconds := float64(frames) * audioSeconds
	if n := soundWidest(frames); n > 1 {
		seconds *= wideLoss / float64(n)
	}
	return seconds
}

// soundFor is how many threads sound of so many frames, which takes so many seconds on one,
// needs to be ready in a time.
func soundFor(frames int64, seconds, until float64) int {
	return min(soundWidest(frames), int(math.Ceil(seconds/max(until, soundUntil))))
}

// soundWidth is how many threads sound gets on a device: as many as it takes for it to be
// ready when all that waits is, as far as there are as many.
func (e *Engine) soundWidth(w *way, d *device, frames int64) int {
	n := min(int64(soundFor(frames, e.expect(w, frames, 1), e.horizon)), d.host.spare()/Thread,
		1+(d.host.free[Memory]-w.need[Memory])/w.threadBytes)
	return int(max(1, n))
}
