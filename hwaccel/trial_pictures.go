package hwaccel

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// rung is a size that is measured.
type rung struct {
	name          string
	width, height int
}

// The sizes that are measured. The CPU has only the first, so that all software
// encoders together take a few seconds of two slow cores at a machine's first
// start: their speed in pixels is nearly the same at other sizes. A GPU's is not.
var (
	smallRung = rung{"360p", 640, 360}
	largeRung = rung{"1080p", 1920, 1080}
	// tinyRung is for what is only tried and not measured. NVENC and NVDEC take
	// nothing smaller than about 160 × 160.
	tinyRung = rung{"180p", 320, 180}
	rungs    = []rung{smallRung, largeRung}
)

// How long the trials' pictures are. A segment is short, so that the trial sees
// whether forced keyframes come.
const (
	pictureRate   = 30
	trialSegment  = 15
	trialFrames   = 60
	tinyFrames    = 20
	speedFrames   = 90
	decoderFrames = 30
)

// moving are moving pictures in memory, for ever. The first second of them is
// made once and then repeated, so that the encoder is measured and not the painter.
func moving(r rung, format string) string {
	return fmt.Sprintf("testsrc2=s=%dx%d:r=%d,scroll=h=0.02:v=0.01,format=%s,trim=end_frame=%d,loop=loop=-1:size=%d,setpts=N/%d/TB",
		r.width, r.height, pictureRate, format, pictureRate, pictureRate, pictureRate)
}

// Floors of likeness to the source. Good encoders are at 0.98 and more on these
// pictures; one that gives grey, or the pictures a frame late, is at 0.7 or
// less. One bad picture among good ones is found by the lowest.
const (
	leastSSIM       = 0.93
	leastFrameSSIM  = 0.8
	leastDecodeSSIM = 0.99
)

// ssimFile is where ffmpeg's ssim filter writes, in the trial's folder.
const ssimFile = "ssim.txt"

// likeness is how like two streams of pictures are, picture by picture.
type likeness struct {
	frames        int64
	mean, poorest float64
}

// compare decodes an input given by its arguments and compares it with another.
func (b *bench) compare(ctx context.Context, api API, first, second []string, chain string, format string) (likeness, error) {
	_ = os.Remove(filepath.Join(b.dir, ssimFile))
	if chain != "" {
		chain += ","
	}
	global, _ := ThreadArgs(b.threads)
	args := slices.Concat(global, first, second)
	// Numbered anew, so that it is the order that counts and not the times.
	graph := fmt.Sprintf("[0:v]%sformat=%s,settb=1/%d,setpts=N[a];[1:v]format=%s,settb=1/%d,setpts=N[b];[a][b]ssim=stats_file=%s:shortest=1",
		chain, format, pictureRate, format, pictureRate, ssimFile)
	args = append(args, "-filter_complex", graph, "-fps_mode", "passthrough", "-f", "null", "-")
	if _, err := b.run(ctx, api, args...); err != nil {
		return likeness{}, err
	}
	return readLikeness(filepath.Join(b.dir, ssimFile))
}

// ssimLine is "n:1 Y:0.98 U:0.99 V:0.99 All:0.985 (18.3)".
var ssimLine = regexp.MustCompile(`^n:\d+ .*All:([0-9.]+|inf|nan) `)

func readLikeness(name string) (likeness, error) {
	file, err := os.Open(name)
	if err != nil {
		return likeness{}, fmt.Errorf("read what the ssim filter found: %w", err)
	}
	defer func() { _ = file.Close() }()
	l := likeness{poorest: 1}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		found := ssimLine.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		value, err := strconv.ParseFloat(found[1], 64)
		if err != nil || value != value {
			value = 0
		}
		l.frames++
		l.mean += value
		l.poorest = min(l.poorest, value)
	}
	if l.frames > 0 {
		l.mean /= float64(l.frames)
	}
	return l, lines.Err()
}
