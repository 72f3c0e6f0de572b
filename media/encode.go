package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/ffmpeg"
	"millrace/storage"
)

// EncodeTask is what an encode attempt is given.
type EncodeTask struct {
	Plan       job.Plan
	Quality    job.Quality
	Chunk      job.Chunk
	Renditions []job.Rendition // of the plan, largest first, all of one encoder
	Encoder    hwaccel.Row
	// Device is what trials found of the device that the attempt was given, the
	// encoder's own or one that helps an encoder in software; zero for the CPU.
	Device hwaccel.Profile
	// Plain uses the device's encoder alone: after a failure of the task, since
	// all else can be done in software.
	Plain   bool
	Threads int // for scaling and encoding each
	Attempt int
	// Alone is set of a backup, which another attempt may be writing beside: nothing
	// is written before all is encoded and Alone has answered without an error.
	Alone func(ctx context.Context) error
	// Progress is called with the frames encoded so far; it must not block.
	Progress func(frames int64, framesPerSecond float64)

	// arguments stands in for Encoder.Args where a test needs an encoder that
	// loses nothing.
	arguments func(hwaccel.Settings) []string
}

// moveFlags make ffmpeg write fragments that the cutter reads (see package cmaf).
const moveFlags = "+frag_keyframe+empty_moov+default_base_moof+negative_cts_offsets"

// Encode makes one chunk of all its renditions, decoding each picture once,
// and puts the segments into the output store while it goes on.
func (t *Toolbox) Encode(ctx context.Context, in Input, output *storage.Output, task EncodeTask) (job.Result, error) {
	args, pin, err := t.encodeArgs(ctx, in.URL, task)
	if err != nil {
		return job.Result{}, fmt.Errorf("encode chunk %d: %w", task.Chunk.Index, err)
	}
	var outputs []trackOutput
	for _, rendition := range task.Renditions {
		outputs = append(outputs, trackOutput{
			name: rendition.Name, dir: rendition.Name, what: rendition.Name, contentType: typeVideo, writeInit: task.Chunk.Index == 0,
			cutter: func(to emit) cut {
				return cmaf.NewVideoCutter(cmaf.VideoConfig{
					Timeline: task.Plan.Timeline, Chunk: task.Chunk, Codec: rendition.Codec,
					DelayFrames: task.Plan.DelayFrames, Emit: to,
				}).Cut
			},
		})
	}
	command := ffmpeg.Command{Args: args, Env: pin.Env, Sandbox: t.openedFor(pin, in.URL)}
	if task.Progress != nil {
		command.Progress = func(p ffmpeg.Progress) { task.Progress(p.Frame, p.FramesPerSecond) }
	}
	var result job.Result
	result.Tracks, err = t.makeTracks(ctx, in, output, command, outputs, task.Alone, func(report ffmpeg.Report) (err error) {
		result.FramesPerSecond = float64(task.Chunk.Frames.Len()) / max(report.Elapsed.Seconds(), 0.001)
		result.Warnings, err = decodeWarnings(task.Chunk, report)
		return err
	})
	if err != nil {
		return job.Result{}, fmt.Errorf("encode chunk %d: %w", task.Chunk.Index, err)
	}
	return result, nil
}

// openedFor is the sandbox for reading url with a device.
func (t *Toolbox) openedFor(pin hwaccel.Pin, url string) *ffmpeg.Sandbox {
	sandbox := t.FFmpeg.Sandbox.ForInput(url)
	if sandbox != nil {
		sandbox.DevicePaths = slices.Concat(sandbox.DevicePaths, pin.Paths)
	}
	return sandbox
}

// encodeArgs is ffmpeg's command line for a chunk, and what binds it to a device.
func (t *Toolbox) encodeArgs(ctx context.Context, url string, task EncodeTask) ([]string, hwaccel.Pin, error) {
	var declared func(string) bool
	if task.Encoder.API != hwaccel.NoAPI {
		features, err := t.FFmpeg.Features(ctx)
		if err != nil {
			return nil, hwaccel.Pin{}, err
		}
		if declared, err = hwaccel.Declared(ctx, features, task.Encoder.Encoder); err != nil {
			return nil, hwaccel.Pin{}, err
		}
	}
	args, pin := task.args(url, declared)
	return args, pin, nil
}

// args is the command line on a build that declares some options of the encoder.
func (task EncodeTask) args(url string, declared func(string) bool) ([]string, hwaccel.Pin) {
	plan := task.Plan
	line := pipeline{
		plan: plan, frames: task.Chunk.Frames, renditions: task.Renditions,
		route: hwaccel.Choose(task.Encoder, picturesOf(plan), task.Device, task.Plain),
	}
	pin := line.route.Pin()
	threads, _ := hwaccel.ThreadArgs(max(1, task.Threads))
	args := slices.Concat(pin.Args, threads, line.input(),
		seekArgs(seekTime(plan, task.Chunk.Frames.Start, task.Attempt)),
		ffmpeg.InputArgs(url), []string{"-filter_complex", line.graph()})
	encoder := task.Encoder.Args
	if task.arguments != nil {
		encoder = task.arguments
	}
	for i, rendition := range task.Renditions {
		args = append(args, "-map", "["+outputName(i)+"]")
		args = append(args, encoder(hwaccel.Settings{
			Rendition: rendition, Quality: task.Quality,
			SegmentFrames: plan.Timeline.SegmentFrames, Threads: task.Threads,
			OnDevice: line.route.Encodes(), Declared: declared, Without: line.route.Without,
		})...)
		args = append(args,
			"-map_metadata", "-1", "-video_track_timescale", strconv.FormatInt(plan.Timeline.Rate.Num, 10),
			"-movflags", moveFlags, "-f", "mp4", ffmpeg.PipeURL(i))
	}
	return args, pin
}

// mostDecodeErrors is how many complaints of the decoder per frame are still a
// damaged source and not a ruined one. One lost macroblock row is a line or two.
const mostDecodeErrors = 1

// decodeWarnings says what the decoder had to conceal.
func decodeWarnings(chunk job.Chunk, report ffmpeg.Report) ([]string, error) {
	if report.Errors == 0 {
		return nil, nil
	}
	frames := chunk.Frames
	if int64(report.Errors) > mostDecodeErrors*frames.Len() {
		return nil, job.Fail(job.MediaCorrupt, "frames %d to %d of the source can't be decoded: %d errors", frames.Start, frames.End, report.Errors)
	}
	return []string{fmt.Sprintf("the decoder concealed damage in frames %d to %d of the source (%d errors)", frames.Start, frames.End, report.Errors)}, nil
}

// RunError is a failure of a run of ffmpeg with the end of its log.
type RunError struct {
	Err       error
	LastWords string
}

func (e *RunError) Error() string { return e.Err.Error() }
func (e *RunError) Unwrap() error { return e.Err }

func withLastWords(err error, report ffmpeg.Report) error {
	return &RunError{Err: err, LastWords: report.LastWords}
}

// Renditions picks the plan's renditions with the given names, largest first.
func Renditions(plan job.Plan, names []string) []job.Rendition {
	return slices.DeleteFunc(slices.Clone(plan.Renditions), func(r job.Rendition) bool { return !slices.Contains(names, r.Name) })
}

func describeObject(name string, body []byte) job.Object {
	sum := sha256.Sum256(body)
	return job.Object{Name: name, Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}
}
