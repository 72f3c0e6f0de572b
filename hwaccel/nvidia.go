//go:build !standin

package hwaccel

// nvidiaHere is the NVIDIA driver of this machine.
func nvidiaHere(ours func(pid int) bool) nvidiaDriver { return newNVIDIA(ours) }
