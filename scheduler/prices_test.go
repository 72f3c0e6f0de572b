package scheduler

import (
	"fmt"
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
