//go:build cgo

package hwaccel

import (
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// throttles are why a GPU runs slower than it could, other than having nothing to do.
var throttles = []struct {
	bit  uint64
	name string
}{
	{nvml.ClocksThrottleReasonSwPowerCap, "power cap"},
	{nvml.ClocksThrottleReasonSwThermalSlowdown, "temperature"},
	{nvml.ClocksThrottleReasonHwSlowdown, "hardware slowdown"},
	{nvml.ClocksThrottleReasonHwThermalSlowdown, "temperature (hardware)"},
	{nvml.ClocksThrottleReasonHwPowerBrakeSlowdown, "power brake"},
}

// health asks a GPU how it is doing.
func (d *nvmlDriver) health(gpu nvml.Device, uuid string) Health {
	health := Health{Xid: d.xids[uuid]}
	see := func(ret nvml.Return) bool {
		if fatal(ret) && health.Lost == "" {
			health.Lost = d.say(ret)
		}
		return ret == nvml.SUCCESS
	}
	if celsius, ret := gpu.GetTemperature(nvml.TEMPERATURE_GPU); see(ret) {
		health.TemperatureCelsius = number(int(celsius))
	}
	if milliwatts, ret := gpu.GetPowerUsage(); see(ret) {
		health.PowerWatts = number(float64(milliwatts) / 1e3)
	}
	if millijoules, ret := gpu.GetTotalEnergyConsumption(); see(ret) {
		health.EnergyJoules = number(float64(millijoules) / 1e3)
	}
	if reasons, ret := gpu.GetCurrentClocksThrottleReasons(); see(ret) {
		for _, t := range throttles {
			if reasons&t.bit != 0 {
				health.Throttled = append(health.Throttled, t.name)
			}
		}
	}
	if at, faulted := d.faulted[uuid]; faulted && health.Lost == "" && time.Since(at) < faultRest {
		health.Lost = fatalXids[health.Xid]
	}
	return health
}

// usage asks a GPU what works on it, and whose work it is.
func (d *nvmlDriver) usage(gpu nvml.Device) Usage {
	var usage Usage
	if rates, ret := gpu.GetUtilizationRates(); ret == nvml.SUCCESS {
		usage.GPUPercent = number(int(rates.Gpu))
	}
	if percent, _, ret := gpu.GetEncoderUtilization(); ret == nvml.SUCCESS {
		usage.EncoderPercent = number(int(percent))
	}
	if percent, _, ret := gpu.GetDecoderUtilization(); ret == nvml.SUCCESS {
		usage.DecoderPercent = number(int(percent))
	}
	if memory, ret := gpu.GetMemoryInfo(); ret == nvml.SUCCESS {
		usage.MemoryUsedBytes = number(int64(memory.Used))
	}
	if sessions, ret := gpu.GetEncoderSessions(); ret == nvml.SUCCESS {
		usage.Sessions = number(len(sessions))
		for _, session := range sessions {
			if !d.ours(int(session.Pid)) {
				usage.Others.Sessions++
			}
		}
	} else if count, _, _, ret := gpu.GetEncoderStats(); ret == nvml.SUCCESS {
		// Whose they are isn't told: the count of our own ones says how many aren't.
		usage.Sessions = number(count)
		usage.Others.Sessions = count
	}
	usage.Others.MemoryBytes = d.othersMemory(gpu)
	d.othersEngines(gpu, &usage.Others)
	return usage
}

// notAvailable is what NVML says of a process's memory where it can't tell.
const notAvailable = ^uint64(0)

// othersMemory adds up the memory of processes that aren't ours. One that both
// computes and draws is in both lists.
func (d *nvmlDriver) othersMemory(gpu nvml.Device) int64 {
	used := make(map[uint32]uint64)
	for _, list := range []func() ([]nvml.ProcessInfo, nvml.Return){gpu.GetComputeRunningProcesses, gpu.GetGraphicsRunningProcesses} {
		processes, ret := list()
		if ret != nvml.SUCCESS {
			continue
		}
		for _, process := range processes {
			if process.UsedGpuMemory != notAvailable && !d.ours(int(process.Pid)) {
				used[process.Pid] = max(used[process.Pid], process.UsedGpuMemory)
			}
		}
	}
	var sum int64
	for _, bytes := range used {
		sum += int64(bytes)
	}
	return sum
}

// othersEngines adds up how busy others keep encoder and decoder, by the newest
// sample of each process; the driver keeps some seconds of them.
func (d *nvmlDriver) othersEngines(gpu nvml.Device, others *Others) {
	samples, ret := gpu.GetProcessUtilization(0)
	if ret != nvml.SUCCESS {
		return
	}
	newest := make(map[uint32]nvml.ProcessUtilizationSample)
	for _, sample := range samples {
		if sample.TimeStamp >= newest[sample.Pid].TimeStamp && !d.ours(int(sample.Pid)) {
			newest[sample.Pid] = sample
		}
	}
	for _, sample := range newest {
		others.EncoderPercent = min(100, others.EncoderPercent+int(sample.EncUtil))
		others.DecoderPercent = min(100, others.DecoderPercent+int(sample.DecUtil))
	}
}
