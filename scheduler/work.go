package scheduler

import (
	"fmt"
	"math"
	"strings"
	"time"

	"millrace/job"
)

// Work is what one frame of a task is. Tasks of equal Work are alike to the
// scheduler but for how many frames they have, so there should be few different
// ones: sizes are rounded by [Ladder] and [SourcePixels].
type Work struct {
	Kind job.TaskKind
	// Encoders can make it, separated by commas. It is only one once the job is
	// planned (see Outlook), so that all chunks have the same bitstream parameters.
	Encoders string
	// Headers are those of the ladder's chunks that are made already, so that the
	// others must have them too (see Speed); empty before there are any.
	Headers string
	// Ladder is the renditions that the task makes, as Ladder writes them.
	Ladder string
	// SourceCodec and SourcePixels are what is decoded.
	SourceCodec  string
	SourcePixels int
	// Effort is how much more an encode takes than one of standard quality, in
	// percent; 0 is 100.
	Effort int
	// ToneMap and Deinterlace are done by the CPU on each frame.
	ToneMap, Deinterlace bool
	// Requires are labels that a node, and a kind of encoder that a device must
	// have, separated by commas (see Meets).
	Requires string
	// Prefer is "energy", or empty for time.
	Prefer string
	// Density is how many bits the source has for its pixels, as Density rounds
	// it: pictures that took many bits to describe take long to encode again.
	Density int
	// BytesPerFrame is what is read of the source for each frame.
	BytesPerFrame int
}

// Density is the bits of each pixel and second, in powers of two; 0 if they
// aren't known, and within bounds else.
func Density(bitsPerSecond float64, pixels int) int {
	if bitsPerSecond <= 0 || pixels <= 0 {
		return 0
	}
	return min(max(int(math.Round(math.Log2(bitsPerSecond/float64(pixels))))+4, 1), 8)
}

// PreferEnergy is the Work.Prefer of work that goes where it draws least.
const PreferEnergy = "energy"

// Ladder writes renditions for Work: "1920x1080,1280x720".
func Ladder(renditions []job.Rendition) string {
	var text strings.Builder
	for i, r := range renditions {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, "%dx%d", r.Width, r.Height)
	}
	return text.String()
}

// parseLadder is the pixels of each rendition of a ladder.
func parseLadder(ladder string) []int {
	var list []int
	for text := range strings.SplitSeq(ladder, ",") {
		var width, height int
		if _, err := fmt.Sscanf(text, "%dx%d", &width, &height); err == nil && width > 0 && height > 0 {
			list = append(list, width*height)
		}
	}
	return list
}

// SourcePixels rounds a source's size up to the next of the usual ones, so that
// odd sizes don't make works of their own.
func SourcePixels(width, height int) int {
	usual := []int{640 * 360, 1280 * 720, 1920 * 1080, 2560 * 1440, 3840 * 2160, 7680 * 4320}
	for _, pixels := range usual {
		if width*height <= pixels {
			return pixels
		}
	}
	return width * height
}

// Task is a waiting task that is ready to run.
type Task struct {
	Job     job.ID
	Task    job.TaskID
	Attempt int // the number that its next attempt gets
	Work    Work
	Frames  int64 // at least 1
	// FailedOn is where the task failed: other nodes are tried first, then other devices.
	FailedOn []Place
}

// Place is a device of a node, or all of the node where Device is empty.
type Place struct{ Node, Device string }

// Job is what the scheduler knows of a job.
type Job struct {
	ID       job.ID
	Org      string
	Priority int // −10 … 10
	Queued   time.Time
	// Deadline is a hint: when the client would like to have it. Zero: none.
	Deadline time.Time
	// Frames of its timeline, 0 before that is known.
	Frames int64
	// Started says that the job counts as running for its organisation's quota.
	Started bool
}

// Org is an organisation's rights.
type Org struct {
	ID string
	// Weight is its share to the others'; 0 is 1.
	Weight float64
	// Running is how many of its jobs run at once; 0 is any number.
	Running int
	// Closed says why none of its jobs that hasn't started may start, for people
	// (its minutes for the day are used up); empty if they may.
	Closed string
}

// Assignment gives a task to a node.
type Assignment struct {
	Job job.ID
	job.Assignment
	// Expected is how long the attempt should take.
	Expected time.Duration
	// Pace is 1, or the part of its threads that the attempt has, where there weren't
	// enough: it takes as much longer.
	Pace float64
}

// way is how a work is done on a class.
type way struct {
	pile    *pile
	class   *class
	encoder string
	headers string // that its encoder writes
	need    Room   // of one task, with one thread where it is divisible
	// parts says that a task may begin with a part of a thread, least is its need then.
	parts bool
	least Room
	// seconds for each frame with that need, by the profile; fixed is for each task.
	seconds, fixed float64
	// divisible ways go faster with more threads.
	divisible bool
	// threadBytes is the memory that each thread but the first takes.
	threadBytes int64
	// bucket names what its speed is learned under, and kind that without the ladder.
	bucket, kind string
	// learned is how much longer it really takes than the profile says, followed the
	// logarithm of that. It comes from work, what was learned of its bucket, and
	// onClass, of this class against that; alike are all ways of the bucket, akin those of
	// the kind.
	learned, followed float64
	work              *learned
	onClass           *average
	alike, akin       *alike
	// use is the resources taken up for each frame, as shares of all that the
	// rack has of them: seconds of the whole rack.
	use []share
	// cost is the price of a frame in seconds of the rack.
	cost float64
	// stray says that its nodes aren't those that the work is for.
	stray bool
}

// alike are ways whose speed is learned together.
type alike struct {
	ways []*way
	// followed is what was learned of them all when they last took note of that.
	followed float64
}

type share struct {
	resource int
	amount   float64 // for each frame
}

// perFrame is seconds for each frame as they were learned.
func (w *way) perFrame() float64 { return w.seconds * w.learned }

// time is how long a task of so many frames takes with one thread, in seconds.
func (w *way) time(frames int64) float64 { return w.fixed + float64(frames)*w.perFrame() }
