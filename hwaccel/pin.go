package hwaccel

import "slices"

// API is the way by which ffmpeg drives a device; ffmpeg's own names.
type API string

// The ways to drive a device. Software has none.
const (
	NoAPI API = ""
	CUDA  API = "cuda"
	QSV   API = "qsv"
	VAAPI API = "vaapi"
)

// pinName is what the device is called on ffmpeg's command line.
const pinName = "dev"

// Pin binds one run of ffmpeg to one device, so that nothing of it lands on
// another, whatever order the drivers list them in.
type Pin struct {
	// Env is added to ffmpeg's environment ("NAME=value").
	Env []string
	// Args stand before all inputs. They make the device and let filters use it.
	Args []string
	// Device is what "-hwaccel_device" gets before an input that is decoded on
	// the device; empty for none.
	Device string
	// Paths are the device files that the sandbox must let through.
	Paths []string
}

// Pin is how a run is bound to the device when driven by api. A CPU needs
// nothing, and no device needs anything for software.
//
// An NVIDIA GPU is chosen by its UUID in CUDA_VISIBLE_DEVICES: then the run sees
// no other, and number 0 is the right one for CUDA, NVDEC and NVENC alike. A
// render node is opened by its path, and QSV is derived from it: left alone, QSV
// would open the first Intel GPU that it finds.
func (d Device) Pin(api API) Pin {
	switch {
	case d.Kind == NVIDIA && api == CUDA:
		return Pin{
			Env:    []string{"CUDA_VISIBLE_DEVICES=" + d.UUID, "CUDA_DEVICE_ORDER=PCI_BUS_ID"},
			Args:   []string{"-init_hw_device", "cuda=" + pinName + ":0", "-filter_hw_device", pinName},
			Device: pinName, Paths: slices.Clone(d.Paths),
		}
	case d.Kind == RenderNode && api == VAAPI:
		return Pin{
			Args:   []string{"-init_hw_device", "vaapi=" + pinName + ":" + d.RenderNode, "-filter_hw_device", pinName},
			Device: pinName, Paths: slices.Clone(d.Paths),
		}
	case d.Kind == RenderNode && api == QSV:
		return Pin{
			Args: []string{
				"-init_hw_device", "vaapi=va:" + d.RenderNode,
				"-init_hw_device", "qsv=" + pinName + "@va", "-filter_hw_device", pinName,
			},
			Device: pinName, Paths: slices.Clone(d.Paths),
		}
	}
	return Pin{}
}
