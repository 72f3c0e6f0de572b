package bench

import (
	"fmt"
	"io"
	"math"
	"strings"

	"millrace/bench/simulator"
)

// Sizes of the picture, in its own units.
const (
	plotWidth, plotHeight    = 640, 320
	plotLeft, plotBottom     = 70, 270 // where the axes meet
	plotRight, plotTop       = 620, 40
	plotLines                = 4 // of the grid, above 0
	plotText, plotGrid, ours = "#555", "#ddd", "#1f77b4"
)

// PlotCost draws what a placement costs against how many came before, as SVG. The
// axis begins at 0, so that a flat line looks flat and a rise as large as it is.
func PlotCost(w io.Writer, speed simulator.Speed) error {
	most, highest := 1, 1.0
	for _, p := range speed.Curve {
		most, highest = max(most, p.Placed), max(highest, p.Nanos)
	}
	step := roundUp(highest * 1.2 / plotLines)
	x := func(placed int) float64 { return plotLeft + float64(placed)/float64(most)*(plotRight-plotLeft) }
	y := func(nanos float64) float64 { return plotBottom - nanos/(step*plotLines)*(plotBottom-plotTop) }

	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n", plotWidth, plotHeight, plotText)
	fmt.Fprintf(&svg, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&svg, `<text x="%d" y="20">CPU time of a placement in µs, with %s devices and %s waiting tasks</text>`+"\n", plotLeft, thousands(speed.Devices), thousands(speed.Waiting))
	for i := range plotLines + 1 {
		nanos := step * float64(i)
		fmt.Fprintf(&svg, `<path d="M%d %.1fH%d" stroke="%s"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", plotLeft, y(nanos), plotRight, plotGrid, plotLeft-8, y(nanos)+4, nanos/1000)
	}
	var line strings.Builder
	for i, p := range speed.Curve {
		fmt.Fprintf(&line, "%s%.1f %.1f", [...]string{"M", "L"}[min(i, 1)], x(p.Placed), y(p.Nanos))
		fmt.Fprintf(&svg, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(p.Placed), y(p.Nanos), ours, x(p.Placed), plotBottom+18, thousands(p.Placed))
	}
	fmt.Fprintf(&svg, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", line.String(), ours)
	fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="end">placed so far</text>`+"\n</svg>\n", plotRight, plotBottom+38)
	if _, err := io.WriteString(w, svg.String()); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}

// roundUp is the next of 1, 2, 5, 10, 20, …
func roundUp(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, times := range []float64{1, 2, 5} {
		if x <= times*power {
			return times * power
		}
	}
	return 10 * power
}

// thousands writes a number with a space before each three digits.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s %03d", thousands(n/1000), n%1000)
}
