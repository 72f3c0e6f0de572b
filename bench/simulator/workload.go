package simulator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"millrace/job"
	"millrace/scheduler"
)

// clip is one of vbench's: Lottarini et al., "vbench: Benchmarking Video
// Transcoding in the Cloud", ASPLOS 2018, table 2: name, size and entropy in bits
// per pixel and second. The paper was found (https://doi.org/10.1145/3173162.3173207),
// but its table could NOT be read again: names, sizes and entropies are unchecked.
type clip struct {
	name          string
	width, height int
	entropy       float64
}

var clips = []clip{
	{"cat", 854, 480, 6.8}, {"holi", 854, 480, 7.0},
	{"desktop", 1280, 720, 0.2}, {"bike", 1280, 720, 0.9}, {"cricket", 1280, 720, 3.4},
	{"game2", 1280, 720, 4.9}, {"girl", 1280, 720, 5.9}, {"game3", 1280, 720, 6.1},
	{"presentation", 1920, 1080, 0.2}, {"funny", 1920, 1080, 2.5}, {"house", 1920, 1080, 3.6},
	{"game1", 1920, 1080, 4.6}, {"landscape", 1920, 1080, 7.2}, {"hall", 1920, 1080, 7.7},
	{"chicken", 3840, 2160, 5.9},
}

// hardness is how much longer software takes for a clip than for an average one: it
// grows with entropy, as vbench's figure 3 shows for x264; the two numbers are ours
// and not the paper's. Hardware takes the same time for all.
func (c clip) hardness() float64 { return 0.7 + 0.07*c.entropy }

// Workload is what is asked of a rack.
type Workload struct {
	// Jobs is how many there are.
	Jobs int `json:"jobs"`
	// Orgs share them evenly.
	Orgs int `json:"orgs"`
	// MedianSeconds and Sigma are of the length of uploads, which is lognormal;
	// LongestSeconds cuts it off. Films is the share of jobs of two hours besides.
	MedianSeconds  float64 `json:"median_seconds"`
	Sigma          float64 `json:"sigma"`
	LongestSeconds float64 `json:"longest_seconds"`
	Films          float64 `json:"films"`
	// Load is arrivals as a share of what the rack can do, in bursts; 0 is a
	// batch: all jobs come at once.
	Load float64 `json:"load,omitempty"`
	// Losses is how many nodes are lost for a while during the run, at random.
	Losses int `json:"losses,omitempty"`
}

// Batch is the default: a night's uploads, all at once. Uploads have a median of
// three minutes, as YouTube's (Cheng, Dale and Liu, "Statistics and Social Network
// of YouTube Videos", IWQoS 2008): that paper was found, with videos mostly below ten
// minutes (slides of the same study have "97.9% ≤ 600s", https://slideplayer.com./amp/5898889);
// the median and sigma could NOT be checked.
var Batch = Workload{Jobs: 3000, Orgs: 4, MedianSeconds: 180, Sigma: 1.0, LongestSeconds: 7200, Films: 0.01}

// Online is the same uploads coming in bursts at 80 % of what the rack can do.
var Online = Workload{Jobs: 1200, Orgs: 4, MedianSeconds: 180, Sigma: 1.0, LongestSeconds: 7200, Films: 0.01, Load: 0.8}

// Validate says what is wrong with a workload, nil if nothing is.
func (w Workload) Validate() error {
	switch {
	case w.Jobs < 1:
		return fmt.Errorf("the workload has %d jobs", w.Jobs)
	case w.Orgs < 1:
		return fmt.Errorf("the workload has %d organisations", w.Orgs)
	case w.MedianSeconds <= 0 || w.Sigma < 0 || w.LongestSeconds < w.MedianSeconds:
		return fmt.Errorf("the workload's lengths have a median of %g s, sigma %g and at most %g s", w.MedianSeconds, w.Sigma, w.LongestSeconds)
	case w.Films < 0 || w.Films > 1 || w.Load < 0 || w.Losses < 0:
		return fmt.Errorf("the workload has a share of films of %g, a load of %g and %d losses", w.Films, w.Load, w.Losses)
	}
	return nil
}

// upload is a job to be: what it is, and how hard it really is.
type upload struct {
	id     job.ID
	org    string
	clip   clip
	frames int64
	at     float64 // seconds
	// density is the source's bits for each pixel and second: about the clip's
	// entropy, by how well it was encoded.
	density float64
}

const (
	frameRate     = 30
	segmentFrames = 4 * frameRate
	filmSeconds   = 7200
)

// build makes the jobs. arrivals gives the time between two of them on average;
// 0 is all at once.
func (w Workload) build(random *rand.Rand, gap float64) []*upload {
	var list []*upload
	at, burst := 0.0, 0
	for i := range w.Jobs {
		seconds := min(lognormal(random, w.MedianSeconds, w.Sigma), w.LongestSeconds)
		if random.Float64() < w.Films {
			seconds = filmSeconds
		}
		u := &upload{
			id: job.ID(fmt.Sprintf("job%08d", i)), org: fmt.Sprintf("org%d", i%w.Orgs),
			clip: clips[random.IntN(len(clips))], density: lognormal(random, 1, 0.25), frames: max(segmentFrames, int64(seconds*frameRate)), at: at,
		}
		u.density *= u.clip.entropy
		list = append(list, u)
		if gap > 0 { // bursts of one to ten, as people share links
			if burst--; burst <= 0 {
				burst = 1 + random.IntN(10)
				at += random.ExpFloat64() * gap * 5.5
			}
		}
	}
	return list
}

// rungs are the short sides of the ladder of all jobs.
var rungs = []int{1080, 720, 480, 360, 240}

// renditions is a clip's ladder: no rung above the source.
func (c clip) renditions() []job.Rendition {
	var list []job.Rendition
	for _, side := range rungs {
		if side <= c.height {
			width := (side*16/9 + 1) / 2 * 2
			list = append(list, job.Rendition{Name: fmt.Sprintf("%dp", side), Width: width, Height: side, Codec: job.H264})
		}
	}
	return list
}

// encoders can make H.264.
const encoders = "h264_nvenc,h264_qsv,libx264"

// plan is what inspecting the upload finds, not cut yet.
func (u *upload) plan() job.Plan {
	return job.Plan{
		Source:     job.Source{Identity: string(u.id), VideoCodec: "h264", Width: u.clip.width, Height: u.clip.height, Rate: job.Rational{Num: frameRate, Den: 1}},
		Timeline:   job.Timeline{Rate: job.Rational{Num: frameRate, Den: 1}, Frames: u.frames, SegmentFrames: segmentFrames},
		Renditions: u.clip.renditions(),
		Audio:      []job.AudioTrack{{Name: "1"}},
	}
}

// work describes one of the upload's tasks to the scheduler.
func (u *upload) work(kind job.TaskKind, renditions []job.Rendition) scheduler.Work {
	work := scheduler.Work{Kind: kind}
	if kind == job.EncodeTask {
		work.Encoders, work.Ladder = encoders, scheduler.Ladder(renditions)
		work.SourceCodec, work.SourcePixels = "h264", scheduler.SourcePixels(u.clip.width, u.clip.height)
		work.Density = scheduler.Density(u.density*float64(work.SourcePixels), work.SourcePixels)
	}
	return work
}

// lognormal draws with a median and the standard deviation of the logarithm.
func lognormal(random *rand.Rand, median, sigma float64) float64 {
	return median * math.Exp(sigma*random.NormFloat64())
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

func sorted(values []float64) []float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values
}

// quantile is of sorted values, 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
