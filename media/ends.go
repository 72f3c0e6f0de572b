package media

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/ffmpeg"
)

// moment is when a picture is shown, exactly as the source says it.
type moment struct {
	pts      int64        // in ticks
	duration int64        // in ticks, 0 if the source doesn't say
	timeBase job.Rational // seconds per tick
}

// on is the moment's frame number on a grid: rounded to nearest, halves away
// from zero, as ffmpeg's fps filter does.
func (m moment) on(rate job.Rational) int64 { return ticksOn(m.pts, m.timeBase, rate) }

// lasts is the picture's own duration in frames of a grid.
func (m moment) lasts(rate job.Rational) int64 { return ticksOn(m.duration, m.timeBase, rate) }

func (m moment) seconds() float64 {
	return float64(m.pts) * float64(m.timeBase.Num) / float64(m.timeBase.Den)
}

// length is the picture's own duration in seconds.
func (m moment) length() float64 {
	return float64(m.duration) * float64(m.timeBase.Num) / float64(m.timeBase.Den)
}

// farthestFrame bounds frame numbers, so that a source's absurd times can't
// overflow what is calculated with them; it is a million years at 120 a second.
const farthestFrame = 1 << 52

// ticksOn is the frame number at a time of so many ticks, at most farthestFrame.
func ticksOn(ticks int64, timeBase, rate job.Rational) int64 {
	if ticks < 0 {
		return -ticksOn(-max(ticks, -math.MaxInt64), timeBase, rate)
	}
	num := new(big.Int).Mul(big.NewInt(ticks), big.NewInt(timeBase.Num))
	num.Mul(num, big.NewInt(rate.Num))
	den := new(big.Int).Mul(big.NewInt(timeBase.Den), big.NewInt(rate.Den))
	num.Lsh(num, 1).Add(num, den) // floor((2n + d) / 2d)
	if num.Div(num, den.Lsh(den, 1)); !num.IsInt64() {
		return farthestFrame
	}
	return min(num.Int64(), farthestFrame)
}

// tailLength is how much of a source's end is read to find its last picture:
// more than two pictures apart in all but slide shows.
const tailLength = 10 * time.Second

// firstPicture decodes the source's first picture. Headers don't tell its time
// reliably: the pictures before the first keyframe can't be decoded, and AVI
// files have no presentation times at all.
func (t *Toolbox) firstPicture(ctx context.Context, in Input, source job.Source) (moment, error) {
	first, _, err := t.decodeTimes(ctx, in, source, 0, "-frames:v", "1")
	if first == nil && (err == nil || gaveUp(err)) {
		err = job.Fail(job.MediaCorrupt, "no picture of the source's %s video can be decoded", source.VideoCodec)
	}
	if err != nil {
		return moment{}, fmt.Errorf("decode the first picture: %w", err)
	}
	return *first, nil
}

// gaveUp says whether ffmpeg ended by itself and for no reason that is known:
// what it does when it finds nothing to decode.
func gaveUp(err error) bool {
	var failure *job.Failure
	return errors.As(err, &failure) && failure.Code == job.EncoderFailed && strings.Contains(failure.Message, "exited with status")
}

// lastPicture finds the source's last picture, from the packets of its end if
// they have times, else by decoding.
func (t *Toolbox) lastPicture(ctx context.Context, in Input, probe *ffmpeg.ProbeResult, video *ffmpeg.Stream, source job.Source) (moment, error) {
	declared := declaredEnd(probe, video)
	if declared > 0 {
		from := max(0, declared-tailLength)
		tail, err := t.FFmpeg.Probe(ctx, in.URL, "-show_packets", "-read_intervals", strconv.FormatFloat(from.Seconds(), 'f', 6, 64)+"%")
		if err != nil {
			return moment{}, fmt.Errorf("read the source's end: %w", err)
		}
		last, timed := lastPacket(tail, video)
		if err := checkEnd(tail, probe, video, declared); err != nil {
			return moment{}, err
		}
		if timed && last != nil {
			return *last, nil
		}
	}
	// No times, or no pictures near the end that the header declares.
	from := max(0, declared-source.Start-tailLength)
	for {
		_, last, err := t.decodeTimes(ctx, in, source, from)
		if err != nil {
			return moment{}, fmt.Errorf("decode the source's end: %w", err)
		}
		if last != nil {
			return *last, nil
		}
		if from == 0 {
			return moment{}, job.Fail(job.MediaCorrupt, "no picture of the source's %s video can be decoded", source.VideoCodec)
		}
		from = 0
	}
}

// declaredEnd is where the headers say that the video ends, 0 if they don't.
func declaredEnd(probe *ffmpeg.ProbeResult, video *ffmpeg.Stream) time.Duration {
	if video.Duration.Known {
		return video.Start.Duration + video.Duration.Duration
	}
	switch {
	case !probe.Format.Duration.Known:
		return 0
	case strings.HasPrefix(probe.Format.Name, "matroska,"):
		// A Segment's duration is the time at which its last block ends: it
		// counts from 0, wherever the first block lies. Muxers that count
		// from the first block make this too early, which does no harm.
		return probe.Format.Duration.Duration
	}
	return probe.Format.Start.Duration + probe.Format.Duration.Duration
}

// lastPacket is the video's last packet in presentation order. timed is false
// when any has no time, as in AVI: then the order says nothing.
func lastPacket(tail *ffmpeg.ProbeResult, video *ffmpeg.Stream) (last *moment, timed bool) {
	timed = true
	for _, p := range tail.Packets {
		switch {
		case p.Stream != video.Index || p.Discard:
		case p.PTS == nil:
			timed = false
		case last == nil || *p.PTS > last.pts:
			last = &moment{pts: *p.PTS, duration: p.Duration, timeBase: video.TimeBase}
		}
	}
	return last, timed
}

// endTolerance is how much earlier than declared a source may end without being
// taken for truncated: durations in headers are rounded, and some containers
// count the longest stream's last packet twice.
const endTolerance = 1500 * time.Millisecond

// checkEnd compares what the source's end really has with what its header
// declares. Only containers whose header was written with the whole file in
// view declare anything; in streams (MPEG-TS, MPEG-PS) the duration is measured
// from the bytes that are there.
func checkEnd(tail, probe *ffmpeg.ProbeResult, video *ffmpeg.Stream, declared time.Duration) error {
	if !indexed(probe.Format.Name) {
		return nil
	}
	bases := make(map[int]job.Rational, len(probe.Streams))
	for _, s := range probe.Streams {
		// A duration of the video's own is checked against the video alone.
		if s.Type == "video" && s.Index == video.Index || !video.Duration.Known {
			bases[s.Index] = s.TimeBase
		}
	}
	reached := -1.0
	timeless := false
	for _, p := range tail.Packets {
		base, counts := bases[p.Stream]
		if !counts || base.Den == 0 {
			continue
		}
		if p.PTS == nil {
			timeless = true
			continue
		}
		end := moment{pts: *p.PTS + p.Duration, timeBase: base}
		reached = max(reached, end.seconds())
	}
	if timeless || reached >= (declared-endTolerance).Seconds() {
		return nil
	}
	if reached < 0 {
		return job.Fail(job.InputTruncated, "the source's header says that it lasts until %s, but nothing is there of its last %s", roundTime(declared), tailLength)
	}
	return job.Fail(job.InputTruncated, "the source's header says that it lasts until %s, but its pictures end at %s", roundTime(declared), roundTime(time.Duration(reached*float64(time.Second))))
}

func roundTime(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// decodeTimes decodes the source from a time on (counted from its start) and
// gives the first and the last picture's moments, nil if there was none.
func (t *Toolbox) decodeTimes(ctx context.Context, in Input, source job.Source, from time.Duration, limits ...string) (first, last *moment, err error) {
	args := append(decoderArgs(source), seekArgs(from)...)
	args = append(args, ffmpeg.InputArgs(in.URL)...)
	args = append(args, "-map", fmt.Sprintf("0:%d", source.Stream), "-an", "-sn", "-dn", "-fps_mode", "passthrough", "-enc_time_base", "-1")
	args = append(args, limits...)
	// Scaled to nothing much: framecrc sums every byte that it gets.
	args = append(args, "-vf", "scale=16:16:flags=neighbor,format=gray", "-f", "framecrc", ffmpeg.PipeURL(0))
	_, err = t.FFmpeg.Run(ctx, ffmpeg.Command{
		Args: args, Dir: t.Scratch, Nice: t.Nice, Sandbox: t.FFmpeg.Sandbox.ForInput(in.URL), Logger: t.Logger,
		FirstFrameTimeout: t.FirstFrameTimeout, StallTimeout: t.StallTimeout,
		Outputs: []func(io.Reader) error{func(r io.Reader) (failed error) {
			first, last, failed = readFrameTimes(r)
			return failed
		}},
	})
	return first, last, err
}

// readFrameTimes reads the text of ffmpeg's framecrc muxer: a time base in a
// comment, then a line "stream, dts, pts, duration, size, crc" for each frame.
func readFrameTimes(r io.Reader) (first, last *moment, err error) {
	lines := bufio.NewScanner(r)
	base := job.Rational{}
	for lines.Scan() {
		line := lines.Text()
		if text, found := strings.CutPrefix(line, "#tb 0: "); found {
			num, den, _ := strings.Cut(text, "/")
			base.Num, _ = strconv.ParseInt(num, 10, 64)
			base.Den, _ = strconv.ParseInt(den, 10, 64)
			continue
		}
		fields := strings.Split(line, ",")
		if strings.HasPrefix(line, "#") || len(fields) < 6 {
			continue
		}
		pts, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
		if err != nil || base.Num <= 0 || base.Den <= 0 {
			return nil, nil, fmt.Errorf("read the times of frames: unexpected line %q", line)
		}
		m := &moment{pts: pts, timeBase: base}
		if first == nil {
			first = m
		}
		if last == nil || m.pts > last.pts {
			last = m
		}
	}
	return first, last, lines.Err()
}

// decoderArgs are the options of the input that decode it exactly, for one
// thread, before -ss and -i.
func decoderArgs(source job.Source) []string {
	_, input := hwaccel.ThreadArgs(1)
	args := slices.Concat(input, []string{"-copyts"})
	if source.X264Build > 0 {
		args = append(args, "-x264_build", strconv.Itoa(source.X264Build))
	}
	return args
}
