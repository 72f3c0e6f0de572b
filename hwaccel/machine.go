package hwaccel

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"slices"
)

// Machine is where devices are looked for. The zero value is this machine.
// Scan and Close must not be called at the same time.
type Machine struct {
	// Root is the machine's file system; nil is the real one.
	Root fs.FS
	// Affinity is how many CPUs this process may use, 0: what the kernel says.
	Affinity int
	// Open tries whether a device file can be used; nil opens and closes it.
	Open func(path string) error
	// PID is the process whose descendants are ours; 0 is this one.
	PID int

	nvidia nvidiaDriver // nil: made at the first scan
	rapl   rapl
}

// Scan is all that was found at one moment.
type Scan struct {
	Devices []Sighting `json:"devices"`
	// Missing has a line for each kind of GPU that isn't there.
	Missing []Missing `json:"missing,omitempty"`
}

// Sighting is a device at one moment.
type Sighting struct {
	Device Device `json:"device"`
	// Room is all that the device has before anything is measured: a CPU's
	// threads and memory, a GPU's memory.
	Room   Room   `json:"room"`
	Health Health `json:"health,omitzero"`
	Usage  Usage  `json:"usage,omitzero"`
}

// nvidiaDriver is the NVIDIA driver's management library, or what stands in for it.
type nvidiaDriver interface {
	// scan lists the GPUs and MIG instances. With none, reason says why, for people.
	scan(ctx context.Context) (found []Sighting, reason string)
	// close lets go of the library.
	close()
}

// Scan looks at all devices: the CPU first, then GPUs by PCI address. It is
// cheap enough to be called every few seconds. A device that can't be used is
// listed too, and says why.
func (m *Machine) Scan(ctx context.Context) Scan {
	m.defaults()
	cpu, room := DiscoverCPU(m.Root, m.Affinity)
	scan := Scan{Devices: []Sighting{{Device: cpu, Room: room, Health: Health{EnergyJoules: m.rapl.read(m.Root)}}}}

	gpus, reason := m.nvidia.scan(ctx)
	if len(gpus) == 0 {
		scan.Missing = append(scan.Missing, Missing{Kind: NVIDIA, Reason: m.withCards(reason)})
	}
	nodes, reason := m.renderNodes()
	if len(nodes) == 0 {
		scan.Missing = append(scan.Missing, Missing{Kind: RenderNode, Reason: reason})
	}
	gpus = append(gpus, nodes...)
	slices.SortStableFunc(gpus, func(a, b Sighting) int { return cmp.Compare(a.Device.PCI, b.Device.PCI) })
	scan.Devices = append(scan.Devices, gpus...)
	return scan
}

// Health is how one device is doing now; of a device that isn't there any more
// nothing is known. Like Scan it must not be called by several at the same time.
func (m *Machine) Health(ctx context.Context, device Device) Health {
	m.defaults()
	var found []Sighting
	switch device.Kind {
	case CPU:
		return Health{EnergyJoules: m.rapl.read(m.Root)}
	case NVIDIA:
		found, _ = m.nvidia.scan(ctx)
	case RenderNode:
		found, _ = m.renderNodes()
	}
	for _, sighting := range found {
		if sighting.Device.ID == device.ID {
			return sighting.Health
		}
	}
	return Health{}
}

// Close lets go of drivers' libraries.
func (m *Machine) Close() {
	if m.nvidia != nil {
		m.nvidia.close()
	}
}

func (m *Machine) defaults() {
	if m.Root == nil {
		m.Root = os.DirFS("/")
	}
	if m.Open == nil {
		m.Open = openDevice
	}
	if m.PID == 0 {
		m.PID = os.Getpid()
	}
	if m.Affinity == 0 {
		m.Affinity = Affinity()
	}
	if m.nvidia == nil {
		m.nvidia = newPatient(nvidiaHere(m.ours))
	}
}

// openDevice opens a device file as a driver would.
func openDevice(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return file.Close()
}
