package hwaccel

import (
	"slices"
	"testing"
)

func TestRunsArePinnedToOneDevice(t *testing.T) {
	gpu := Device{ID: "GPU-1", Kind: NVIDIA, UUID: "GPU-1", Index: 3, Paths: []string{"/dev/nvidiactl", "/dev/nvidia3"}}
	instance := Device{ID: "MIG-2", Kind: NVIDIA, UUID: "MIG-2"}
	node := Device{ID: "0000:03:00.0", Kind: RenderNode, RenderNode: "/dev/dri/renderD129", Paths: []string{"/dev/dri/renderD129"}}
	for name, c := range map[string]struct {
		device Device
		api    API
		want   Pin
	}{
		"an NVIDIA GPU by its UUID, whatever its number": {gpu, CUDA, Pin{
			Env:    []string{"CUDA_VISIBLE_DEVICES=GPU-1", "CUDA_DEVICE_ORDER=PCI_BUS_ID"},
			Args:   []string{"-init_hw_device", "cuda=dev:0", "-filter_hw_device", "dev"},
			Device: "dev", Paths: gpu.Paths,
		}},
		"a MIG instance by its own": {instance, CUDA, Pin{
			Env:    []string{"CUDA_VISIBLE_DEVICES=MIG-2", "CUDA_DEVICE_ORDER=PCI_BUS_ID"},
			Args:   []string{"-init_hw_device", "cuda=dev:0", "-filter_hw_device", "dev"},
			Device: "dev",
		}},
		"VAAPI by the render node": {node, VAAPI, Pin{
			Args:   []string{"-init_hw_device", "vaapi=dev:/dev/dri/renderD129", "-filter_hw_device", "dev"},
			Device: "dev", Paths: node.Paths,
		}},
		"QSV by way of VAAPI": {node, QSV, Pin{
			Args:   []string{"-init_hw_device", "vaapi=va:/dev/dri/renderD129", "-init_hw_device", "qsv=dev@va", "-filter_hw_device", "dev"},
			Device: "dev", Paths: node.Paths,
		}},
		"software not at all":      {Device{ID: "cpu", Kind: CPU}, NoAPI, Pin{}},
		"software beside a device": {gpu, NoAPI, Pin{}},
		"nor what doesn't fit":     {node, CUDA, Pin{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.device.Pin(c.api)
			if !slices.Equal(got.Env, c.want.Env) || !slices.Equal(got.Args, c.want.Args) ||
				got.Device != c.want.Device || !slices.Equal(got.Paths, c.want.Paths) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
