package hwaccel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"millrace/job"
	"millrace/media/ffmpeg"
)

// Trials measures devices by encoding on them.
type Trials struct {
	Tools *ffmpeg.Tools
	// Cache is the file that profiles are kept in; empty keeps none.
	Cache string
	// Scratch is an existing folder for the encodes.
	Scratch string
	// Sandbox confines the encodes; nil means Tools.Sandbox.
	Sandbox *ffmpeg.Sandbox
	Logger  *slog.Logger // nil is silent
}

// trialRung is a size that is measured, and for how many frames.
type trialRung struct {
	name          string
	width, height int
	frames        int64
}

// trialRungs are the sizes that are measured: one, so that all software encoders
// together take a few seconds of two slow cores at a machine's first start.
// Their speed in pixels is nearly the same at other sizes.
var trialRungs = []trialRung{{name: "360p", width: 640, height: 360, frames: 60}}

// trialSegment is short, so that the trial sees whether forced keyframes come.
const trialSegment = 15

// Watchdogs of a trial: a device that answers no sooner is of no use.
const (
	trialFirstFrame = 30 * time.Second
	trialStall      = 15 * time.Second
)

// Profile measures a device, or reads what was measured before of the same
// device, driver, ffmpeg build and room. An encoder that doesn't work is no
// error, but has its reason in the profile. The error is the context's, or says
// why the scratch folder can't be used.
func (t Trials) Profile(ctx context.Context, device Device, room Room) (Profile, error) {
	key := cacheKey(device, room, t.Tools.Build)
	cached, err := readCache(t.Cache)
	if err != nil {
		t.logger().Warn("measuring anew: the file of profiles can't be read", "device", device.ID, "err", err)
	}
	if profile, known := cached[key]; known {
		profile.Room = room
		return profile, nil
	}
	profile, err := t.Measure(ctx, device, room)
	if err != nil {
		return Profile{}, err
	}
	if err := writeCache(t.Cache, key, profile, cached); err != nil {
		// Then it is measured again at the next start.
		t.logger().Warn("the profile is not kept", "device", device.ID, "err", err)
	}
	return profile, nil
}

// Measure tries every encoder of the device's kind, whatever was measured before.
func (t Trials) Measure(ctx context.Context, device Device, room Room) (Profile, error) {
	features, err := t.Tools.Features(ctx)
	if err != nil {
		return Profile{}, fmt.Errorf("measure %s: %w", device.Name, err)
	}
	dir, err := os.MkdirTemp(t.Scratch, "trial-")
	if err != nil {
		return Profile{}, fmt.Errorf("measure %s: %w", device.Name, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is swept with the scratch folder

	profile := Profile{Device: device, FFmpegBuild: t.Tools.Build, Room: room}
	for _, row := range rows {
		if row.Kind != device.Kind {
			continue
		}
		result := EncoderProfile{Encoder: row.Encoder}
		if !features.Encoders[row.Encoder] {
			result.Reason = fmt.Sprintf("ffmpeg %s was built without %s", t.Tools.Version, row.Encoder)
		} else {
			result = t.try(ctx, row, room, dir)
		}
		if err := ctx.Err(); err != nil {
			return Profile{}, err // a trial that was cut short says nothing
		}
		t.logger().Info("tried an encoder", "device", device.ID, "encoder", row.Encoder,
			"works", result.Works, "reason", result.Reason, "frames_per_second", result.FramesPerSecond)
		profile.Encoders = append(profile.Encoders, result)
	}
	return profile, nil
}

// try encodes each rung, looks at what came out, and then measures.
func (t Trials) try(ctx context.Context, row Row, room Room, dir string) EncoderProfile {
	result := EncoderProfile{Encoder: row.Encoder, FramesPerSecond: make(map[string]float64)}
	for _, rung := range trialRungs {
		file := filepath.Join(dir, row.Encoder+".mp4")
		report, err := t.encode(ctx, row, rung, room, file)
		if err == nil {
			err = t.check(ctx, rung, file)
		}
		if err != nil {
			return EncoderProfile{Encoder: row.Encoder, Reason: reason(rung, err)}
		}
		result.FramesPerSecond[rung.name] = speed(rung, report)
	}
	result.Works = true
	return result
}

// speed is ffmpeg's own figure, which leaves its start out, or for a run too
// short to have one, frames over all of its time.
func speed(rung trialRung, report ffmpeg.Report) float64 {
	if report.FramesPerSecond > 0 {
		return report.FramesPerSecond
	}
	return float64(rung.frames) / max(report.Elapsed.Seconds(), 0.001)
}

func (t Trials) encode(ctx context.Context, row Row, rung trialRung, room Room, file string) (ffmpeg.Report, error) {
	return t.Tools.Run(ctx, ffmpeg.Command{
		Args: trialArgs(row, rung, room.Threads, file), Dir: filepath.Dir(file), Sandbox: t.Sandbox,
		FirstFrameTimeout: trialFirstFrame, StallTimeout: trialStall, Logger: t.Logger,
	})
}

// trialArgs encode moving pictures of a rung. The first second of them is made
// once and then repeated, so that the encoder is measured and not the painter.
func trialArgs(row Row, rung trialRung, threads int, file string) []string {
	const second = 30
	pictures := fmt.Sprintf("testsrc2=s=%dx%d:r=%d,format=%s,trim=end_frame=%d,loop=loop=-1:size=%d,setpts=N/%d/TB",
		rung.width, rung.height, second, row.PixelFormat, second, second, second)
	if row.Upload != "" {
		pictures += "," + row.Upload
	}
	args := []string{"-f", "lavfi", "-i", pictures, "-frames:v", integer(rung.frames)}
	args = append(args, row.Args(Settings{
		Rendition:     job.Rendition{MaxBitsPerSecond: 5_000_000, BufferBits: 10_000_000},
		SegmentFrames: trialSegment, Threads: threads,
	})...)
	return append(args, "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", file)
}

// check decodes what a trial made and counts frames and keyframes: encoders
// have been seen to exit well with neither.
func (t Trials) check(ctx context.Context, rung trialRung, file string) error {
	found, err := t.Tools.Probe(ctx, file, "-select_streams", "v:0", "-count_frames",
		"-show_packets", "-show_entries", "stream:packet=stream_index,pts,dts,flags")
	if err != nil {
		return fmt.Errorf("look at its output: %w", err)
	}
	if len(found.Streams) != 1 {
		return fmt.Errorf("its output has %d video streams", len(found.Streams))
	}
	stream := found.Streams[0]
	if stream.DecodedFrames != rung.frames {
		return fmt.Errorf("it made %d of %d frames", stream.DecodedFrames, rung.frames)
	}
	if stream.Width != rung.width || stream.Height != rung.height {
		return fmt.Errorf("it made pictures of %d×%d in place of %d×%d", stream.Width, stream.Height, rung.width, rung.height)
	}
	var keys, want []int
	for i, packet := range found.Packets {
		if packet.Key {
			keys = append(keys, i)
		}
	}
	for i := 0; i < int(rung.frames); i += trialSegment {
		want = append(want, i)
	}
	if !slices.Equal(keys, want) {
		return fmt.Errorf("it put keyframes at frames %v in place of %v", keys, want)
	}
	return nil
}

// reason says for people why an encoder doesn't work.
func reason(rung trialRung, err error) string {
	var failure *job.Failure
	if errors.As(err, &failure) {
		return fmt.Sprintf("a trial encode of %s failed: %s", rung.name, failure.Message)
	}
	return fmt.Sprintf("a trial encode of %s failed: %v", rung.name, err)
}

func (t Trials) logger() *slog.Logger {
	if t.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return t.Logger
}
