package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"millrace/bench/simulator"
)

func TestThePlotHasAPointForEachOfTheCurve(t *testing.T) {
	var svg strings.Builder
	err := PlotCost(&svg, simulator.Speed{Devices: 10_000, Waiting: 1_000_000, Curve: []simulator.Point{{Placed: 50_000, Nanos: 7900}, {Placed: 100_000, Nanos: 8100}}})
	if err != nil {
		t.Fatal(err)
	}
	circles, decoder := 0, xml.NewDecoder(strings.NewReader(svg.String()))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot isn't XML: %v", err)
		}
		if start, is := token.(xml.StartElement); is && start.Name.Local == "circle" {
			circles++
		}
	}
	if circles != 2 || !strings.Contains(svg.String(), "10 000 devices and 1 000 000 waiting") || !strings.Contains(svg.String(), ">100 000<") {
		t.Errorf("the plot has %d points:\n%s", circles, svg.String())
	}
}
