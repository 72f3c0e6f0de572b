package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
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
	Threads    int // for decoding, scaling and encoding each
	Attempt    int
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
	sending := newUploads(ctx, output)
	var (
		handlers []func(io.Reader) error
		tracks   = make([]*trackUpload, len(task.Renditions))
		infos    = make([]cmaf.TrackInfo, len(task.Renditions))
	)
	for i, rendition := range task.Renditions {
		tracks[i] = &trackUpload{uploads: sending, dir: rendition.Name}
		cutter := cmaf.NewVideoCutter(cmaf.VideoConfig{
			Timeline: task.Plan.Timeline, Chunk: task.Chunk, Codec: rendition.Codec,
			DelayFrames: task.Plan.DelayFrames, Emit: tracks[i].emit,
		})
		handlers = append(handlers, func(r io.Reader) (err error) {
			if infos[i], err = cutter.Cut(sending.ctx, r); err != nil {
				return fmt.Errorf("cut %s: %w", rendition.Name, err)
			}
			return nil
		})
	}
	command := ffmpeg.Command{
		Args: encodeArgs(in.URL, task), Outputs: handlers,
		Dir: t.Scratch, Nice: t.Nice, Sandbox: t.FFmpeg.Sandbox.ForInput(in.URL), Logger: t.Logger,
		FirstFrameTimeout: t.FirstFrameTimeout, StallTimeout: t.StallTimeout,
	}
	if task.Progress != nil {
		command.Progress = func(p ffmpeg.Progress) { task.Progress(p.Frame, p.FramesPerSecond) }
	}
	report, err := t.FFmpeg.Run(sending.ctx, command)
	// An upload that failed stops the run; its own error says why.
	if sent := sending.wait(); sent != nil && ctx.Err() == nil {
		err = sent
	}
	if err != nil {
		return job.Result{}, withLastWords(fmt.Errorf("encode chunk %d: %w", task.Chunk.Index, err), report)
	}
	result := job.Result{FramesPerSecond: float64(task.Chunk.Frames.Len()) / max(report.Elapsed.Seconds(), 0.001)}
	if result.Warnings, err = decodeWarnings(task.Chunk, report); err != nil {
		return job.Result{}, withLastWords(err, report)
	}
	for i, rendition := range task.Renditions {
		track, err := tracks[i].finish(ctx, rendition.Name, infos[i], typeVideo, task.Chunk.Index == 0)
		if err != nil {
			return job.Result{}, fmt.Errorf("write the init segment of %s: %w", rendition.Name, err)
		}
		result.Tracks = append(result.Tracks, track)
	}
	return result, nil
}

// encodeArgs is ffmpeg's command line for a chunk.
func encodeArgs(url string, task EncodeTask) []string {
	plan := task.Plan
	args := decoderArgs(plan.Source)
	args = append(args, seekArgs(seekTime(plan, task.Chunk.Frames.Start, task.Attempt))...)
	args = append(args, ffmpeg.InputArgs(url)...)
	graph := cascade(plan, task.Chunk.Frames, task.Renditions, task.Encoder.Scale, task.Encoder.PixelFormat)
	args = append(args, "-filter_complex_threads", strconv.Itoa(max(1, task.Threads)), "-filter_complex", graph)
	encoder := task.Encoder.Args
	if task.arguments != nil {
		encoder = task.arguments
	}
	for i, rendition := range task.Renditions {
		args = append(args, "-map", "["+outputName(i)+"]")
		args = append(args, encoder(hwaccel.Settings{
			Rendition: rendition, Quality: task.Quality,
			SegmentFrames: plan.Timeline.SegmentFrames, Threads: task.Threads,
		})...)
		args = append(args,
			"-map_metadata", "-1", "-video_track_timescale", strconv.FormatInt(plan.Timeline.Rate.Num, 10),
			"-movflags", moveFlags, "-f", "mp4", ffmpeg.PipeURL(i))
	}
	return args
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
