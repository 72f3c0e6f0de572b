package hwaccel

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// driverPatience is how long a driver may take to answer before its devices
// count as lost: a hanging one never does.
const driverPatience = 5 * time.Second

// patient asks a driver on a goroutine of its own, since a call into a driver
// that hangs can't be ended. While it hangs, what was there is lost.
type patient struct {
	driver  nvidiaDriver
	last    []Sighting
	pending chan answer // of a question under way, nil if none
}

type answer struct {
	found  []Sighting
	reason string
}

func newPatient(driver nvidiaDriver) *patient { return &patient{driver: driver} }

func (p *patient) scan(ctx context.Context) ([]Sighting, string) {
	if p.pending == nil {
		pending := make(chan answer, 1)
		p.pending = pending
		go func() {
			var a answer
			a.found, a.reason = p.driver.scan(ctx)
			pending <- a
		}()
	}
	timer := time.NewTimer(driverPatience)
	defer timer.Stop()
	select {
	case a := <-p.pending:
		p.pending = nil
		p.last = slices.Clone(a.found)
		return a.found, a.reason
	case <-ctx.Done():
		return p.last, ""
	case <-timer.C:
	}
	reason := fmt.Sprintf("the NVIDIA driver has not answered for %s", driverPatience)
	lost := slices.Clone(p.last)
	for i := range lost {
		lost[i].Health, lost[i].Usage = Health{Lost: reason}, Usage{}
	}
	return lost, reason
}

// close waits for a question under way. One that hangs is left behind: nothing
// but the end of the process ends it.
func (p *patient) close() {
	if p.pending != nil {
		timer := time.NewTimer(driverPatience)
		defer timer.Stop()
		select {
		case <-p.pending:
			p.pending = nil
		case <-timer.C:
			return
		}
	}
	p.driver.close()
}
