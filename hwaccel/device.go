package hwaccel

// DeviceKind is a family of devices that are driven alike.
type DeviceKind string

// The kinds of device.
const (
	CPU        DeviceKind = "cpu"
	NVIDIA     DeviceKind = "nvidia"
	RenderNode DeviceKind = "render" // Intel and AMD GPUs, by /dev/dri/renderD*
)

// Device is a thing that encodes.
type Device struct {
	// ID names the device on its node, and stays the same over restarts: "cpu",
	// a GPU's UUID, a render node's PCI address.
	ID   string     `json:"id"`
	Kind DeviceKind `json:"kind"`
	Name string     `json:"name"` // for people: "AMD EPYC 7543 32-Core Processor"
	// Driver is the driver's name and version; for a CPU what measurements depend
	// on in its place: architecture, threads, and the quota on them.
	Driver string `json:"driver"`
	// Paths are the device files that ffmpeg needs; none for a CPU.
	Paths []string `json:"paths,omitempty"`
}
