package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
)

// ladder is what all competitors make: the renditions of a finished job, so
// that sizes, rates and quality are the same.
type ladder struct {
	clip       string
	renditions []job.RenditionView // largest first
	timeline   segments
}

// segments says where keyframes have to be.
type segments struct {
	frames  int64 // of each segment
	seconds int64 // the same in whole seconds
}

// plainRuns are what many scripts do: one ffmpeg run for each rung, one after
// the other, each with ffmpeg's own choice of scaler and threads. Only the first
// makes the sound.
func plainRuns(l ladder, dir string) [][]string {
	var runs [][]string
	for i, rendition := range l.renditions {
		args := []string{"-i", l.clip, "-map", "0:v:0", "-vf", fmt.Sprintf("scale=%d:%d", rendition.Width, rendition.Height)}
		args = append(args, l.encoder(rendition)...)
		if i == 0 {
			args = append(args, sound()...)
		}
		runs = append(runs, append(args, l.hls(dir, rendition.Name)...))
	}
	return runs
}

// handWrittenRun is what somebody who knows ffmpeg well writes: decode once,
// scale each rung from the one above, same filter, same encoder settings.
func handWrittenRun(l ladder, dir string) []string {
	var graph strings.Builder
	graph.WriteString("[0:v:0]")
	for i, rendition := range l.renditions {
		if i > 0 {
			fmt.Fprintf(&graph, ";[n%d]", i)
		}
		fmt.Fprintf(&graph, "scale=%d:%d:flags=lanczos", rendition.Width, rendition.Height)
		if i == 0 {
			graph.WriteString(",format=yuv420p")
		}
		if i < len(l.renditions)-1 {
			fmt.Fprintf(&graph, ",split[o%d][n%d]", i, i+1)
		} else {
			fmt.Fprintf(&graph, "[o%d]", i)
		}
	}
	args := []string{"-i", l.clip, "-filter_complex", graph.String()}
	for i, rendition := range l.renditions {
		args = append(args, "-map", fmt.Sprintf("[o%d]", i))
		args = append(args, l.encoder(rendition)...)
		args = append(args, l.hls(dir, rendition.Name)...)
	}
	return append(append(args, sound()...), l.hls(dir, "audio")...)
}

// encoder is the very arguments that Millrace gives its encoder, but for the
// threads, which are left to ffmpeg.
func (l ladder) encoder(rendition job.RenditionView) []string {
	row, _ := hwaccel.Encoder(rendition.Encoder)
	return row.Args(hwaccel.Settings{
		Rendition:     job.Rendition{MaxBitsPerSecond: rendition.MaxBitsPerSecond, BufferBits: 2 * rendition.MaxBitsPerSecond},
		Quality:       job.Standard,
		SegmentFrames: l.timeline.frames,
	})
}

func sound() []string { return []string{"-map", "0:a:0?", "-c:a", "aac", "-b:a", "128k"} }

func (l ladder) hls(dir, name string) []string {
	return []string{
		"-f", "hls", "-hls_time", strconv.FormatInt(l.timeline.seconds, 10), "-hls_playlist_type", "vod",
		"-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", name + "-init.mp4",
		"-hls_segment_filename", filepath.Join(dir, name+"-%05d.m4s"), filepath.Join(dir, name+".m3u8"),
	}
}

// runFFmpeg runs ffmpeg as a user would: no sandbox, its own threads.
func runFFmpeg(ctx context.Context, program string, args []string) (usage, error) {
	command := exec.CommandContext(ctx, program, append([]string{"-nostdin", "-y", "-loglevel", "error"}, args...)...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	out, err := command.CombinedOutput()
	if err != nil {
		return usage{}, fmt.Errorf("run ffmpeg: %w: %s", err, out)
	}
	return usage{cpu: command.ProcessState.UserTime() + command.ProcessState.SystemTime()}, nil
}
