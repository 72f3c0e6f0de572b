package scheduler

import (
	"fmt"
	"strings"
)

// The dimensions of a [Room]. The first four are a device's own, the others
// are shared by all devices of its host.
const (
	Sessions  = iota // encodes at once
	Encode           // millionths of the encoder's time: 1,000,000 is all that was measured
	Decode           // millionths of the decoder's time
	GPUMemory        // bytes

	Threads      // thousandths of a CPU thread
	Spare        // the same, for work that isn't a GPU's: what is kept for those isn't in it
	Memory       // bytes
	Scratch      // bytes of disk
	Network      // bytes a second
	HostSessions // encodes at once on all consumer cards of the host together

	dims
	firstOfHost = Threads
)

// Whole is all of an encoder or decoder, and one CPU thread is Thread.
const (
	Whole  = 1_000_000
	Thread = 1000
)

// Unlimited is the room of a dimension that has no limit.
const Unlimited = 1 << 60

// Room is an amount of each thing that work takes up: what a device and its
// host have, what is left of it, and what a task needs.
type Room [dims]int64

// Fits says whether need fits into r in every dimension.
func (r *Room) Fits(need *Room) bool {
	for d := range need {
		if need[d] > r[d] {
			return false
		}
	}
	return true
}

// take takes need away from the dimensions from up to below.
func (r *Room) take(need *Room, from, below int) {
	for d := from; d < below; d++ {
		r[d] -= need[d]
	}
}

// give is the reverse of take.
func (r *Room) give(need *Room, from, below int) {
	for d := from; d < below; d++ {
		r[d] += need[d]
	}
}

// lacking says which dimension of need r has least of, for people.
func (r *Room) lacking(need *Room) string {
	var names []string
	for d := range need {
		if d == Spare && need[Threads] > r[Threads] {
			continue // the same threads
		}
		if need[d] > r[d] {
			names = append(names, describe(d, max(0, r[d]), need[d]))
		}
	}
	return strings.Join(names, ", ")
}

func describe(dim int, have, need int64) string {
	switch dim {
	case Sessions:
		return fmt.Sprintf("%d encode sessions free, %d needed", have, need)
	case HostSessions:
		return fmt.Sprintf("%d encode sessions free on the host's consumer cards, %d needed", have, need)
	case Encode:
		return fmt.Sprintf("%d %% of the encoder free, %d %% needed", have*100/Whole, need*100/Whole)
	case Decode:
		return fmt.Sprintf("%d %% of the decoder free, %d %% needed", have*100/Whole, need*100/Whole)
	case Threads:
		return fmt.Sprintf("%.2f CPU threads free, %.2f needed", float64(have)/Thread, float64(need)/Thread)
	case Spare:
		return fmt.Sprintf("%.2f CPU threads free beside what its host's GPUs need, %.2f needed", float64(have)/Thread, float64(need)/Thread)
	case GPUMemory:
		return fmt.Sprintf("%d MiB of GPU memory free, %d MiB needed", have>>20, need>>20)
	case Memory:
		return fmt.Sprintf("%d MiB of memory free, %d MiB needed", have>>20, need>>20)
	case Scratch:
		return fmt.Sprintf("%d MiB of scratch disk free, %d MiB needed", have>>20, need>>20)
	default:
		return fmt.Sprintf("%d kB/s of network free, %d kB/s needed", have/1000, need/1000)
	}
}
