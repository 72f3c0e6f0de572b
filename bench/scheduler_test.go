package bench

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"millrace/bench/simulator"
)

func TestARacksFileHasAllOfItsNodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rack.json")
	if err := os.WriteFile(file, []byte(`{"nodes": {"l4": 1, "cpu8": 2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	rack, err := readRack(file)
	if want := map[string]int{"l4": 1, "cpu8": 2}; err != nil || !reflect.DeepEqual(rack.Nodes, want) {
		t.Errorf("the rack is %v, %v, want %v", rack.Nodes, err, want)
	}
	if rack, err = readRack(""); err != nil || !reflect.DeepEqual(rack, simulator.MixedRack) {
		t.Errorf("without a file the rack is %v, %v", rack, err)
	}
}
