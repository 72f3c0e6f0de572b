package ffmpeg

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"time"
)

// Progress is what ffmpeg says about a run while it goes on.
type Progress struct {
	// Frame counts the frames that the first video output has written; 0 when
	// there is no video.
	Frame int64
	// FramesPerSecond is ffmpeg's mean since its start.
	FramesPerSecond float64
	// OutTime is how far the outputs have come, in their own time; negative or
	// 0 before the first packet.
	OutTime time.Duration
	// Bytes is what the first output has written so far.
	Bytes int64
	// Speed is output seconds per second of work, 0 if unknown.
	Speed float64
	// Duplicated and Dropped count frames that the output's rate made or lost.
	Duplicated, Dropped int64
	// Done is set in the last report of a run.
	Done bool
}

// maxProgressLine is far above any line of a healthy ffmpeg.
const maxProgressLine = 4096

// readProgress reads what -progress writes and calls report at the end of each
// block. What can't be read is skipped: progress is for watching, not for
// counting.
func readProgress(r io.Reader, report func(Progress)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxProgressLine), maxProgressLine)
	var p Progress
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "frame":
			setInt(&p.Frame, value)
		case "fps":
			setFloat(&p.FramesPerSecond, value)
		case "out_time_us":
			var us int64
			setInt(&us, value)
			// Before the first packet old builds say the smallest number there is.
			if us > -maxMicroseconds && us < maxMicroseconds {
				p.OutTime = time.Duration(us) * time.Microsecond
			}
		case "total_size":
			setInt(&p.Bytes, value)
		case "dup_frames":
			setInt(&p.Duplicated, value)
		case "drop_frames":
			setInt(&p.Dropped, value)
		case "speed":
			setFloat(&p.Speed, strings.TrimSuffix(value, "x"))
		case "progress":
			p.Done = value == "end"
			report(p)
		}
	}
}

const maxMicroseconds = int64(1<<63-1) / int64(time.Microsecond)

func setInt(to *int64, text string) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		*to = n
	}
}

func setFloat(to *float64, text string) {
	if f, err := strconv.ParseFloat(text, 64); err == nil && f >= 0 && f < 1e9 {
		*to = f
	}
}
