package scheduler

import (
	"math"
	"strings"

	"millrace/hwaccel"
)

// Work that prefers energy goes where it takes least of it. What a task takes is
// its part of what the device draws beyond what it draws at rest, for as long as it
// runs, and of the CPU's beside a GPU. A device whose draw isn't known could be
// better or worse: it is chosen only where none is known, and by time then.

// unknownDraw makes any device whose draw isn't known score worse than one whose is.
const unknownDraw = 1e15

// byEnergy is the score of a way for work that prefers energy, less is better, and
// whether that is by energy: by time, and after all others, where that isn't known.
func (e *Engine) byEnergy(w *way, d *device, frames int64, byTime float64) (score float64, known bool) {
	if joules, known := w.joules(d, frames); known {
		return joules, true
	}
	return unknownDraw + byTime, false
}

// joules is the energy of a task of so many frames on a device; false if the
// device's draw isn't known.
func (w *way) joules(d *device, frames int64) (float64, bool) {
	watts := d.spec.watts(w.encoder)
	if watts <= 0 { // also where a device decodes for the CPU: nobody measures that
		return 0, false
	}
	threads := float64(w.need[Threads]) / float64(max(1, w.class.whole[Threads]))
	if d.spec.Kind == hwaccel.CPU {
		return watts * threads * w.time(frames), true
	}
	watts *= float64(w.need[Encode]) / Whole
	if w.class.cpu != nil {
		watts += w.class.cpu.draw() * threads
	}
	return watts * w.time(frames), true
}

// watts is what a device draws with all of it at work on an encoder, 0 if that
// isn't known.
func (d *Device) watts(encoder string) float64 {
	for _, speed := range d.Encoders {
		if speed.Codec == encoder {
			return speed.Watts
		}
	}
	return 0
}

// draw is the least that a device at work was measured to draw, 0 if nothing was:
// for work that nobody has measured.
func (d *Device) draw() float64 {
	least := 0.0
	for _, speed := range d.Encoders {
		if speed.Watts > 0 && (least == 0 || speed.Watts < least) {
			least = speed.Watts
		}
	}
	return least
}

// thriftiest is which of some encoders that meet what is required takes least
// energy for a frame, empty if of none the draw is known.
func (e *Engine) thriftiest(work Work) string {
	best, least := "", math.Inf(1)
	for name := range strings.SplitSeq(work.Encoders, ",") {
		for _, c := range e.classes {
			if c.devices == 0 || !c.meets(work, name) {
				continue
			}
			for _, speed := range c.spec.Encoders {
				if fps := speed.at(fullHD); speed.Codec == name && fps > 0 && speed.Watts > 0 && speed.Watts/fps < least {
					best, least = name, speed.Watts/fps
				}
			}
		}
	}
	return best
}
