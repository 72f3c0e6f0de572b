package media

import (
	"encoding/binary"
	"math"

	"millrace/job"
	"millrace/media/mediatest"
)

const soundRate = 48_000

// sound decodes a file's sound to mono, from the time 0 on: without -copyts
// ffmpeg would move the encoder's priming there.
func (w *workflow) sound(path string) []float64 {
	w.Helper()
	raw := mediatest.Ask(w, "ffmpeg", "-nostdin", "-v", "error", "-copyts", "-i", path, "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "48000", "-f", "f32le", "-")
	samples := make([]float64, len(raw)/4)
	for i := range samples {
		samples[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32([]byte(raw[4*i : 4*i+4]))))
	}
	return samples
}

// soundOf is the sound of a track's joined segments, decoded once.
func (w *workflow) soundOf(audio job.AudioTrack) []float64 {
	w.Helper()
	samples, decoded := w.decoded[audio.Name]
	if !decoded {
		samples = w.sound(w.joined(audioDir(audio)))
		w.decoded[audio.Name] = samples
	}
	return samples
}

// beeps are the seconds at which a sound begins after silence.
func beeps(samples []float64) []float64 {
	const window = soundRate / 1000
	var starts []float64
	quiet := 1000 // windows; the beginning counts as after silence
	for i := 0; i+window <= len(samples); i += window {
		loudest := 0.0
		for _, s := range samples[i : i+window] {
			loudest = max(loudest, math.Abs(s))
		}
		if loudest < 0.02 {
			quiet++
			continue
		}
		if quiet > 100 {
			starts = append(starts, float64(i)/soundRate)
		}
		quiet = 0
	}
	return starts
}

// flashes are the seconds at which the picture turns white, and how bright each
// frame is comes from ffmpeg.
func (w *workflow) flashes(path string) []float64 {
	w.Helper()
	raw := mediatest.Ask(w, "ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vf", "scale=1:1:flags=area,format=gray", "-fps_mode", "passthrough", "-f", "rawvideo", "-")
	var starts []float64
	lit := false
	for n, luma := range []byte(raw) {
		if luma > 128 && !lit {
			starts = append(starts, w.plan.Timeline.At(int64(n)).Seconds())
		}
		lit = luma > 128
	}
	return starts
}

// checkSync compares when the picture flashes with when the sound beeps. Every
// beep needs its flash; a source may have flashes without sound, but at least
// fewest of them must have it.
func (w *workflow) checkSync(fewest int) {
	w.Helper()
	seen := w.flashes(w.joined(w.plan.Renditions[0].Name))
	frame := 1 / w.plan.Timeline.Rate.Float()
	for _, audio := range w.plan.Audio {
		heard := beeps(w.soundOf(audio))
		matched := 0
		for _, beep := range heard {
			for _, flash := range seen {
				if math.Abs(beep-flash) <= frame {
					matched++
				}
			}
		}
		if matched != len(heard) || matched < fewest {
			w.Errorf("audio track %s: %d of its beeps have a flash, want %d\nbeeps at %.3f\nflashes at %.3f", audio.Name, matched, max(fewest, len(heard)), heard, seen)
		}
	}
}
