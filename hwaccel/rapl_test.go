package hwaccel

import (
	"math"
	"testing"
	"testing/fstest"
)

func zone(name, energy, limit string) map[string]string {
	return map[string]string{"name": name, "energy_uj": energy, "max_energy_range_uj": limit}
}

func powercap(zones map[string]map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for id, files := range zones {
		for name, text := range files {
			root["sys/class/powercap/"+id+"/"+name] = &fstest.MapFile{Data: []byte(text + "\n")}
		}
	}
	return root
}

func TestCPUEnergyAddsUpPackagesAndMemoryOverWraps(t *testing.T) {
	at := func(package0, dram, package1 string) fstest.MapFS {
		return powercap(map[string]map[string]string{
			"intel-rapl:0":   zone("package-0", package0, "262143328850"),
			"intel-rapl:0:0": zone("core", "999", "262143328850"), // a part of the package
			"intel-rapl:0:1": zone("dram", dram, "65712999613"),
			"intel-rapl:1":   zone("package-1", package1, "262143328850"),
			"intel-rapl:2":   zone("psys", "5", "262143328850"), // the whole board

			"intel-rapl-mmio:0": zone("package-0", package0, "262143328850"), // package 0 again
		})
	}
	var meter rapl
	for i, c := range []struct {
		root fstest.MapFS
		want float64
	}{
		{at("262143000000", "1000000", "5000000"), 0},
		{at("262143328850", "3000000", "5000000"), 2.32885},
		{at("671150", "3000000", "6000000"), 4}, // package 0 has wrapped
	} {
		got := meter.read(c.root)
		if got == nil || math.Abs(*got-c.want) > 1e-6 {
			t.Fatalf("reading %d: got %v, want %g J", i, got, c.want)
		}
	}
}

func TestCPUEnergyThatCannotBeReadIsNotZero(t *testing.T) {
	var meter rapl
	if got := meter.read(fstest.MapFS{}); got != nil {
		t.Errorf("without counters: %g J", *got)
	}
	unreadable := powercap(map[string]map[string]string{"intel-rapl:0": {"name": "package-0"}, "intel-rapl:1": zone("package-1", "1", "9")})
	if got := meter.read(unreadable); got != nil {
		t.Errorf("with a counter that only root reads: %g J", *got)
	}
}
