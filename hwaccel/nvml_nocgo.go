//go:build !cgo

package hwaccel

import "context"

// withoutNVML stands in for the NVIDIA driver's library, which needs cgo.
type withoutNVML struct{}

func newNVIDIA(func(pid int) bool) nvidiaDriver { return withoutNVML{} }

func (withoutNVML) scan(context.Context) ([]Sighting, string) {
	return nil, "this build of Millrace can't ask the NVIDIA driver: it was built without cgo"
}

func (withoutNVML) close() {}
