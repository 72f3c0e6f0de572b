package media

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"millrace/hwaccel"
	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/ffmpeg"
	"millrace/storage"
)

// audioFragment is the length of ffmpeg's audio fragments in microseconds. It
// has nothing to do with segments: it bounds what the cutter holds.
const audioFragment = 2_000_000

// Audio encodes every audio track, once for the whole job, so that there is no
// encoder priming at the joints of chunks: with more than one thread long sound in
// pieces, several at once.
func (t *Toolbox) Audio(ctx context.Context, in Input, output *storage.Output, plan job.Plan, threads int, progress func(frames int64, framesPerSecond float64)) (job.Result, error) {
	pieces := threads > 1 && slices.ContainsFunc(plan.Audio, func(track job.AudioTrack) bool {
		return inPieces(plan.Timeline, track)
	})
	slots := make(chan struct{}, max(1, threads))
	var outputs []trackOutput
	for _, track := range plan.Audio {
		outputs = append(outputs, trackOutput{
			name: track.Name, dir: audioDir(track), what: "audio track " + track.Name, contentType: typeAudio, writeInit: true,
			cutter: func(to emit) cut {
				cutter := cmaf.NewAudioCutter(cmaf.AudioConfig{
					Timeline: plan.Timeline, Track: track, PrimingSamples: cmaf.AACPriming, Emit: to,
				})
				if !pieces {
					return cutter.Cut
				}
				return func(ctx context.Context, samples io.Reader) (cmaf.TrackInfo, error) {
					return t.encodePieces(ctx, samples, track, slots, cutter)
				}
			},
		})
	}
	command := ffmpeg.Command{Args: audioArgs(in.URL, plan, pieces)}
	if progress != nil {
		command.Progress = func(p ffmpeg.Progress) {
			progress(int64(p.OutTime.Seconds()*plan.Timeline.Rate.Float()), 0)
		}
	}
	tracks, err := t.makeTracks(ctx, in, output, command, outputs, nil, func(ffmpeg.Report) error { return nil })
	if err != nil {
		return job.Result{}, fmt.Errorf("encode the sound: %w", err)
	}
	return job.Result{Tracks: tracks}, nil
}

// audioArgs is ffmpeg's command line for all audio tracks: encoded, or only decoded, as
// samples of 32 bits in floating point.
func audioArgs(url string, plan job.Plan, decoded bool) []string {
	args, input := hwaccel.ThreadArgs(1)
	args = append(append(args, input...), "-copyts")
	args = append(args, ffmpeg.InputArgs(url)...)
	var graph []string
	for i, track := range plan.Audio {
		graph = append(graph, fmt.Sprintf("[0:a:%d]%s[%s]", track.Stream, soundFilters(plan.Timeline, track), outputName(i)))
	}
	args = append(args, "-filter_complex", strings.Join(graph, ";"))
	for i, track := range plan.Audio {
		args = append(args, "-map", "["+outputName(i)+"]")
		if decoded {
			args = append(args, "-c:a", "pcm_f32le", "-f", "f32le", ffmpeg.PipeURL(i))
		} else {
			args = append(args, aacArgs(track, ffmpeg.PipeURL(i))...)
		}
	}
	return args
}

// aacArgs are of the output that is a track.
func aacArgs(track job.AudioTrack, url string) []string {
	return []string{
		"-map_metadata", "-1", "-c:a", "aac", "-b:a", strconv.FormatInt(track.BitsPerSecond, 10),
		"-movflags", "+empty_moov+default_base_moof", "-frag_duration", strconv.Itoa(audioFragment),
		"-f", "mp4", url,
	}
}

func layoutOf(track job.AudioTrack) string {
	return map[int]string{1: "mono", 2: "stereo", 6: "5.1"}[track.Channels]
}

// soundFilters bring a track's samples onto the timeline: sample 0 is heard
// when frame 0 is seen, gaps are silent, and the sound lasts exactly as long as
// the pictures.
func soundFilters(timeline job.Timeline, track job.AudioTrack) string {
	rate := int64(track.SampleRate)
	first := samplesAt(timeline, timeline.Origin, rate)
	count := samplesAt(timeline, timeline.Frames, rate)
	// asetpts=N, with a sample as the unit of time: N/SR/TB is rounded down from
	// floating point, and every now and then falls a sample short.
	return fmt.Sprintf("aresample=%d:async=1:first_pts=%d,aformat=sample_fmts=fltp:channel_layouts=%s,asettb=1/%d,asetpts=N,apad=whole_len=%d,atrim=end_sample=%d",
		rate, first, layoutOf(track), rate, count, count)
}

// samplesAt is the number of samples before frame n is shown, rounded to nearest.
func samplesAt(timeline job.Timeline, n, sampleRate int64) int64 {
	return ticksOn(n*timeline.Rate.Den, job.Rational{Num: 1, Den: timeline.Rate.Num}, job.Rational{Num: sampleRate, Den: 1})
}
