package scheduler

import (
	"fmt"
	"math"
	"testing"

	"millrace/hwaccel"
)

// TestThePriceOfASmallResourceIsItsWorth: one GPU of another kind, as fast as each of
// ten others, is worth as much as each of them, however many kinds of work could all at
// once go there.
func TestThePriceOfASmallResourceIsItsWorth(t *testing.T) {
	nodes := []Node{gpuNode("small", 64, 1, func(d *Device) {
		d.Name, d.Encoders[0].Codec = "another", "h264_qsv"
	})}
	for i := range 10 {
		nodes = append(nodes, gpuNode(fmt.Sprint("large", i), 64, 1, nil))
	}
	e := engineWith(nodes...)
	var demands []demand
	for density := range 8 {
		for _, pixels := range []int{640 * 360, 1280 * 720, 1920 * 1080} {
			work := ladderWork(func(w *Work) {
				w.Encoders, w.Density, w.SourcePixels = "h264_nvenc,h264_qsv", density, pixels
			})
			demands = append(demands, demand{pile: e.pile(work), frames: 100_000, tasks: 200})
		}
	}
	price, _ := e.solve(demands)
	for _, d := range demands {
		cost := make(map[string]float64)
		for _, w := range d.pile.ways {
			if w.class.spec.Kind != hwaccel.CPU {
				cost[w.encoder] = w.costAt(price, typicalFrames)
			}
		}
		if ratio := cost["h264_qsv"] / cost["h264_nvenc"]; ratio < 0.9 || ratio > 1.1 {
			t.Errorf("%s costs %.2f times as much on the one GPU as on one of the ten", d.pile.work.Ladder, ratio)
		}
	}
}

// TestPricesStayNumbers where one way takes a thousand times as long as another: by others
// nothing can be decided, nor when all is done.
func TestPricesStayNumbers(t *testing.T) {
	for _, times := range []float64{1, 4, 10, 40, 100, 1000} {
		node := gpuNode("a", 2, 1, nil)
		for pixels := range node.Devices[0].Encoders[0].FramesPerSecond {
			node.Devices[0].Encoders[0].FramesPerSecond[pixels] /= times
		}
		e := engineWith(node)
		queue(e, Job{ID: "any"}, ladderWork(nil), 274)
		queue(e, Job{ID: "cpu"}, ladderWork(func(w *Work) { w.Encoders = "libx264" }), 1)
		if placed := e.Decide(); len(placed) == 0 || math.IsNaN(e.horizon) || math.IsInf(e.horizon, 0) {
			t.Errorf("a CPU %.0f times as slow: %v start, and all ends in %.3f s", times, where(placed), e.horizon)
		}
		for _, p := range e.piles {
			for _, w := range p.ways {
				if math.IsNaN(w.cost) || w.cost < 0 {
					t.Errorf("a CPU %.0f times as slow: a frame costs %g by %s on %s", times, w.cost, w.encoder, w.class.name())
				}
			}
		}
	}
}
