package hwaccel

// DeviceKind is a family of devices that are driven alike.
type DeviceKind string

// The kinds of device.
const (
	CPU        DeviceKind = "cpu"
	NVIDIA     DeviceKind = "nvidia"
	RenderNode DeviceKind = "render" // Intel and AMD GPUs, by /dev/dri/renderD*
)

// Vendor is who made a GPU.
type Vendor string

// The vendors that are told apart.
const (
	VendorNVIDIA Vendor = "NVIDIA"
	VendorIntel  Vendor = "Intel"
	VendorAMD    Vendor = "AMD"
)

// Device is a thing that encodes or decodes: a CPU, a GPU, or a GPU's MIG
// instance. It says what the thing is, and nothing that changes while it works.
type Device struct {
	// ID names the device on its node, and stays the same over restarts: "cpu",
	// a GPU's UUID, a render node's PCI address.
	ID     string     `json:"id"`
	Kind   DeviceKind `json:"kind"`
	Vendor Vendor     `json:"vendor,omitempty"`
	Name   string     `json:"name"` // for people: "AMD EPYC 7543 32-Core Processor"
	// Driver is the driver's name and version; for a CPU what measurements depend
	// on in its place: architecture, threads, and the quota on them.
	Driver string `json:"driver"`
	// Paths are the device files that ffmpeg needs; none for a CPU.
	Paths []string `json:"paths,omitempty"`

	UUID string `json:"uuid,omitempty"` // NVIDIA: "GPU-…", of an instance "MIG-…"
	PCI  string `json:"pci,omitempty"`  // "0000:65:00.0"
	// Index is the driver's number for a GPU. It may change at a restart, so it
	// is for people only.
	Index int `json:"index,omitempty"`
	// DriverVersion is Driver without the name ("550.54.15"), CUDAVersion the
	// newest CUDA that the driver serves ("12.4").
	DriverVersion string `json:"driver_version,omitempty"`
	CUDAVersion   string `json:"cuda_version,omitempty"`
	// MemoryBytes is the GPU's own memory, 0 where it has none or doesn't say.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	// RenderNode is the device file of a render node: "/dev/dri/renderD128".
	RenderNode string `json:"render_node,omitempty"`
	MIG        *MIG   `json:"mig,omitempty"` // of an instance only
	// Cores and SIMD describe a CPU: whole cores, and the widest vector
	// instructions that encoders gain from ("AVX-512", "AVX2", "NEON").
	Cores int    `json:"cores,omitempty"`
	SIMD  string `json:"simd,omitempty"`
	// Unusable says, for people, why nothing can be tried on a device that is
	// there; empty if it can.
	Unusable string `json:"unusable,omitempty"`
}

// MIG says which part of a GPU an instance is.
type MIG struct {
	Parent          string `json:"parent"` // UUID of the whole GPU
	GPUInstance     int    `json:"gpu_instance"`
	ComputeInstance int    `json:"compute_instance"`
}

// Missing is a kind of device that this machine has none of, and why, as a
// sentence for people. It is normal.
type Missing struct {
	Kind   DeviceKind `json:"kind"`
	Reason string     `json:"reason"`
}
