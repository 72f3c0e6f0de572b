//go:build cgo

package hwaccel

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

func TestACardsEnergyIsReadFromItsCounterOrAddsUpFromItsPower(t *testing.T) {
	for name, counts := range map[string]bool{"a counter": true, "only the power": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &load{resting: 16, work: 68, at: time.Now()}
				lib := cards(cardT4, cardL4)
				gpu := gpuOf(lib, 1)
				gpu.GetPowerUsageFunc = func() (uint32, nvml.Return) {
					l.mu.Lock()
					defer l.mu.Unlock()
					return uint32(1000 * l.watts()), nvml.SUCCESS
				}
				gpu.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) {
					if !counts {
						return 0, nvml.ERROR_NOT_SUPPORTED
					}
					return uint64(1000 * l.joules()), nvml.SUCCESS
				}
				driver := driverOf(lib)
				device := sight(t, driver)[1].Device
				// A power that is read ten times a second misses the edges.
				checkMeter(t, l, device, &Machine{nvidia: newPatient(driver)}, 2)
			})
		})
	}
}
