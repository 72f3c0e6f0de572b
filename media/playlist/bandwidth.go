package playlist

import (
	"math"

	"millrace/job"
)

// bandwidth is a track's measured bit rates, in bits per second.
type bandwidth struct {
	peak, average int64
}

func (b bandwidth) plus(other bandwidth) bandwidth {
	return bandwidth{b.peak + other.peak, b.average + other.average}
}

// measure finds a track's bit rates. The peak is over runs of segments that
// last half to one and a half target durations, the average over all.
func measure(track job.Track) bandwidth {
	var bytes, ticks, longest int64
	for _, s := range track.Segments {
		bytes += s.Size
		ticks += s.Duration
		longest = max(longest, s.Duration)
	}
	average := bitsPerSecond(bytes, ticks, track.Timescale)
	// The target duration in ticks; EXT-X-TARGETDURATION is this in whole seconds.
	result := bandwidth{peak: average, average: average}
	for i := range track.Segments {
		var runBytes, runTicks int64
		for _, s := range track.Segments[i:] {
			runBytes += s.Size
			runTicks += s.Duration
			if 2*runTicks > 3*longest {
				break
			}
			if 2*runTicks >= longest {
				result.peak = max(result.peak, bitsPerSecond(runBytes, runTicks, track.Timescale))
			}
		}
	}
	return result
}

func bitsPerSecond(bytes, ticks, timescale int64) int64 {
	if ticks <= 0 {
		return 0
	}
	return int64(math.Ceil(float64(bytes) * 8 * float64(timescale) / float64(ticks)))
}

// seconds is a number of ticks as a float, for formats that want one.
func seconds(ticks, timescale int64) float64 { return float64(ticks) / float64(timescale) }
