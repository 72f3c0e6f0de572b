package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"millrace/job"
	"millrace/media/cmaf"
	"millrace/media/mediatest"
)

// noisy is sound with much in it that windows and rate control depend on: a tone that
// differs for each channel, sweeps, and clicks at odd times.
func noisy(channels int, seconds int) string {
	var list []string
	for c := range channels {
		list = append(list, fmt.Sprintf(`0.2*sin(2*PI*%d*t)+0.1*sin(2*PI*t*(300+40*t))+0.1*(random(%d)-0.5)+if(lt(mod(t\,%.3f)\,0.002)\,0.3\,0)`, 200*(c+2), c, 0.31+0.07*float64(c)))
	}
	return fmt.Sprintf("aevalsrc=exprs='%s':c=%s:s=48000:d=%d", strings.Join(list, "|"), layoutOf(job.AudioTrack{Channels: channels}), seconds)
}

// channelSamples decodes a file's sound, all channels apart, from the time 0 on.
func channelSamples(t *testing.T, path string, stream, channels int) [][]float64 {
	t.Helper()
	raw := mediatest.Ask(t, "ffmpeg", "-nostdin", "-v", "error", "-copyts", "-i", path, "-map", fmt.Sprintf("0:a:%d", stream),
		"-af", "aresample=async=1:first_pts=0", "-f", "f32le", "-")
	list := make([][]float64, channels)
	for i := range len(raw) / 4 {
		list[i%channels] = append(list[i%channels], float64(math.Float32frombits(binary.LittleEndian.Uint32([]byte(raw[4*i:4*i+4])))))
	}
	return list
}

// unitNoise is, for each access unit, how far sound is from what it was made of.
func unitNoise(made, source []float64) (noise []float64) {
	for from := 0; from+cmaf.AccessUnitSamples <= min(len(made), len(source)); from += cmaf.AccessUnitSamples {
		sum := 0.0
		for i := range cmaf.AccessUnitSamples {
			d := made[from+i] - source[from+i]
			sum += d * d
		}
		noise = append(noise, sum)
	}
	return noise
}

// Sound that is encoded in pieces, several at once, is the same sound: as many samples in
// the same segments, each channel in its place, and where pieces meet it is as near to the
// source as anywhere.
func TestSoundInPieces(t *testing.T) {
	t.Parallel()
	source := mediatest.Make(t, "long.mkv", append(words("-f lavfi -i testsrc2=s=128x72:r=10:d=95 -f lavfi -i"), noisy(6, 62), "-f", "lavfi", "-i", noisy(2, 95),
		"-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "flac")...)
	first := inspected(t, source, tinySpec())
	if n := len(first.plan.Audio); n != 2 {
		t.Fatalf("the plan has %d tracks of sound, expected 2", n)
	}
	alone, pieces := first.chunked(t, wholeTimeline), first.chunked(t, wholeTimeline)
	made := make(map[*workflow]job.Result)
	for w, threads := range map[*workflow]int{alone: 1, pieces: 3} {
		result, err := w.toolbox.Audio(t.Context(), w.in, w.output, w.plan, threads, nil)
		if err != nil {
			t.Fatalf("with %d threads: %v", threads, err)
		}
		made[w] = result
	}
	for i, track := range first.plan.Audio {
		a, b := made[alone].Tracks[i], made[pieces].Tracks[i]
		if a.Codec != b.Codec || len(a.Segments) != len(b.Segments) {
			t.Fatalf("track %s: %s in %d segments, in pieces %s in %d", track.Name, a.Codec, len(a.Segments), b.Codec, len(b.Segments))
		}
		for s := range a.Segments {
			if a.Segments[s].Samples != b.Segments[s].Samples || a.Segments[s].Duration != b.Segments[s].Duration {
				t.Errorf("track %s, segment %d: %+v, in pieces %+v", track.Name, s, a.Segments[s], b.Segments[s])
			}
		}
		want := channelSamples(t, source, i, track.Channels)
		got := channelSamples(t, pieces.joined(audioDir(track)), 0, track.Channels)
		whole := channelSamples(t, alone.joined(audioDir(track)), 0, track.Channels)
		for c := range want {
			if len(got[c]) != len(whole[c]) {
				t.Fatalf("track %s, channel %d: %d samples in pieces, %d in one", track.Name, c, len(got[c]), len(whole[c]))
			}
			checkJoints(t, fmt.Sprintf("track %s, channel %d", track.Name, c), pieceUnits(track.Channels), unitNoise(got[c], want[c]), unitNoise(whole[c], want[c]))
		}
	}
}

// checkJoints compares the noise of units at the joints with that of all others. Units are
// counted without the encoder's priming.
func checkJoints(t *testing.T, what string, units int, pieces, whole []float64) {
	t.Helper()
	var elsewhere []float64
	joints := make(map[int]float64)
	for i, noise := range pieces {
		if near := (i + 4) % units; i < units/2 || near > 6 {
			elsewhere = append(elsewhere, noise)
		} else {
			joints[i] = noise
		}
	}
	loudest := slices.Max(elsewhere)
	if len(joints) < 7 {
		t.Errorf("%s: %d units are at joints: the sound is too short to have one", what, len(joints))
	}
	for i, noise := range joints {
		if noise > loudest {
			t.Errorf("%s: unit %d, where two pieces meet, has a noise of %.4g; elsewhere it is %.4g at most", what, i, noise, loudest)
		}
	}
	sum := func(list []float64) (sum float64) {
		for _, x := range list {
			sum += x
		}
		return sum
	}
	if a, b := sum(pieces), sum(whole); a > 1.6*b {
		t.Errorf("%s: the noise of all pieces is %.4g, of one run %.4g", what, a, b)
	}
	t.Logf("%s: noise %.4g in pieces, %.4g in one run, loudest unit %.4g, at joints %.4g", what, sum(pieces), sum(whole), loudest, sum(valuesOf(joints))/float64(len(joints)))
}

func valuesOf(m map[int]float64) (list []float64) {
	for _, x := range m {
		list = append(list, x)
	}
	return list
}

// Samples are cut so that each access unit is in one piece, with what is heard around it.
func TestSplitSound(t *testing.T) {
	t.Parallel()
	const channels = 6
	const unit = cmaf.AccessUnitSamples * bytesPerSample * channels
	count := pieceUnits(channels)
	piece := int64(count)
	for units, want := range map[int][]int64{ // the units that each piece takes; the last takes what there is
		0:                        {-1},
		count:                    {-1},
		count + afterUnits:       {piece, -1},
		count + afterUnits + 1:   {piece, -1},
		3*count + afterUnits - 1: {piece, piece, -1},
		3*count + afterUnits:     {piece, piece, piece, -1},
		3*count + count/2 + 17:   {piece, piece, piece, -1},
	} {
		samples := make([]byte, units*unit+unit/2) // half a unit more
		for i := range samples {
			samples[i] = byte(i / unit % 251)
		}
		var got []int64
		next := int64(0) // the first unit of the next piece
		err := splitSound(iotest.HalfReader(bytes.NewReader(samples)), channels, func(p soundPiece) error {
			from := next - p.skip
			if !bytes.Equal(p.samples, samples[from*unit:min(from*unit+int64(len(p.samples)), int64(len(samples)))]) {
				t.Errorf("%d units: the piece at unit %d has other samples", units, next)
			}
			if p.take == cmaf.AllUnits {
				p.take = -1
				if from*unit+int64(len(p.samples)) != int64(len(samples)) {
					t.Errorf("%d units: the last piece ends at byte %d of %d", units, from*unit+int64(len(p.samples)), len(samples))
				}
			} else if int64(len(p.samples)) != (p.skip+p.take+afterUnits)*unit {
				t.Errorf("%d units: the piece at unit %d has %d bytes", units, next, len(p.samples))
			}
			got, next = append(got, p.take), next+p.take
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%d units are cut into %d (%v), want %d", units, got, err, want)
		}
	}
}

// A piece that fails, and a job that is stopped, end the task: nothing hangs.
func TestSoundInPiecesEnds(t *testing.T) {
	t.Parallel()
	source := mediatest.Make(t, "long.mkv", words("-f lavfi -i testsrc2=s=128x72:r=10:d=62 -f lavfi -i anoisesrc=d=62:r=48000 -map 0:v -map 1:a -map 1:a -map 1:a -ac 6 -c:v libx264 -preset ultrafast -c:a flac")...)
	w := inspected(t, source, tinySpec()).chunked(t, wholeTimeline)
	t.Run("an encoder that fails", func(t *testing.T) {
		w := w.chunked(t, wholeTimeline)
		w.plan.Audio = slices.Clone(w.plan.Audio)
		w.plan.Audio[1].BitsPerSecond = -1
		_, err := w.toolbox.Audio(t.Context(), w.in, w.output, w.plan, 2, nil)
		var failure *job.Failure
		if !errors.As(err, &failure) || !strings.Contains(err.Error(), "audio track 2") {
			t.Errorf("the task ends with %v", err)
		}
	})
	t.Run("a decoder that fails", func(t *testing.T) {
		w := w.chunked(t, wholeTimeline)
		w.plan.Audio = slices.Clone(w.plan.Audio)
		w.plan.Audio[1].Stream = 9
		_, err := w.toolbox.Audio(t.Context(), w.in, w.output, w.plan, 2, nil)
		var failure *job.Failure
		if !errors.As(err, &failure) || failure.Code == job.EncoderOutputMismatch {
			t.Errorf("the task ends with %v", err)
		}
	})
	t.Run("a task that is stopped", func(t *testing.T) {
		w := w.chunked(t, wholeTimeline)
		ctx, stop := context.WithCancel(t.Context())
		_, err := w.toolbox.Audio(ctx, w.in, w.output, w.plan, 2, func(int64, float64) { stop() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the task ends with %v", err)
		}
	})
}
