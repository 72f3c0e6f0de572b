package main

import (
	"fmt"
	"strings"
	"time"

	"millrace/job"
)

// plainEvery bounds how often progress is printed where nothing can be
// overwritten.
const plainEvery = time.Second

// progress shows how far a job has come: a bar that is drawn over and over on
// a terminal, lines elsewhere.
type progress struct {
	std streams
	now func() time.Time

	drawn   bool // a bar stands on the terminal's last line
	said    time.Time
	status  job.Status
	percent int
}

func newProgress(std streams, now func() time.Time) *progress {
	return &progress{std: std, now: now, percent: -1}
}

// see shows the job as it is now.
func (p *progress) see(j job.View) {
	if width := p.std.width(); width > 0 {
		// Over the old line, then away with what is left of it.
		fmt.Fprintf(p.std.err, "\r%s\x1b[K", bar(j, p.now(), width-1))
		p.drawn = true
		return
	}
	changed := j.Status != p.status
	moved := int(j.Progress) != p.percent && p.now().Sub(p.said) >= plainEvery
	if !changed && (!moved || j.Status != job.Transcoding) {
		return
	}
	p.status, p.percent, p.said = j.Status, int(j.Progress), p.now()
	line := fmt.Sprintf("job %s: %s", j.ID, j.Status)
	if j.Status == job.Transcoding {
		line += fmt.Sprintf(" %d%%", int(j.Progress))
		if eta := etaText(j); eta != "" {
			line += ", " + eta
		}
	}
	fmt.Fprintln(p.std.err, printable(line))
}

// end leaves the bar as it stands.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprintln(p.std.err)
		p.drawn = false
	}
}

// The bar's own width, brackets not counted.
const (
	shortestBar = 10
	longestBar  = 40
)

// bar is one line of at most width columns: what matters less is left out
// first where there is little room.
//
//	5KQfnXCg8Qh Transcoding [=======>            ]  37%  ETA 0:42  2.1x  done: 240p 360p
func bar(j job.View, now time.Time, width int) string {
	head := fmt.Sprintf("%s %s", j.ID, j.Status)
	percent := fmt.Sprintf("%3d%%", int(j.Progress))
	var rest []string // the most important first
	if j.Status == job.Transcoding {
		for _, part := range []string{etaText(j), speedText(j, now), doneText(j)} {
			if part != "" {
				rest = append(rest, part)
			}
		}
	}
	tail := percent
	for _, part := range rest {
		if longer := tail + "  " + part; len(head)+len(" [] ")+shortestBar+len(longer) <= width {
			tail = longer
		}
	}
	room := min(longestBar, width-len(head)-len(" [] ")-len(tail))
	line := fmt.Sprintf("%s [%s] %s", head, cells(j.Progress, room), tail)
	if room < shortestBar {
		line = head + " " + percent
	}
	line = printable(line)
	if width < len(line) {
		return line[:max(0, width)]
	}
	return line
}

// cells draws percent in a number of columns.
func cells(percent float64, columns int) string {
	if columns <= 0 {
		return ""
	}
	full := min(columns, max(0, int(percent/100*float64(columns))))
	switch {
	case full == columns:
		return strings.Repeat("=", columns)
	default:
		return strings.Repeat("=", full) + ">" + strings.Repeat(" ", columns-full-1)
	}
}

// etaText is "ETA 0:42", "ETA 1:02:03", "" when it can't be told.
func etaText(j job.View) string {
	if j.ETASeconds == nil {
		return ""
	}
	seconds := max(0, *j.ETASeconds)
	hours, minutes := seconds/3600, seconds/60%60
	if hours > 0 {
		return fmt.Sprintf("ETA %d:%02d:%02d", hours, minutes, seconds%60)
	}
	return fmt.Sprintf("ETA %d:%02d", minutes, seconds%60)
}

// speedText is how many seconds of video are done in a second: "2.1x".
func speedText(j job.View, now time.Time) string {
	if j.StartTime == nil || j.VideoDuration == nil || j.Progress <= 0 {
		return ""
	}
	elapsed := now.Sub(time.Time(*j.StartTime)).Seconds()
	if elapsed < 1 {
		return ""
	}
	return fmt.Sprintf("%.1fx", float64(*j.VideoDuration)*j.Progress/100/elapsed)
}

// doneText names the rungs that are finished, the smallest first.
func doneText(j job.View) string {
	var done []string
	for i := len(j.Renditions) - 1; i >= 0; i-- {
		if r := j.Renditions[i]; r.Progress >= 100 {
			done = append(done, r.Name)
		}
	}
	if len(done) == 0 {
		return ""
	}
	return "done: " + strings.Join(done, " ")
}
