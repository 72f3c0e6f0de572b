package scheduler

import (
	"strconv"
	"strings"

	"millrace/hwaccel"
)

// FromProfiles describes a node's devices to the scheduler by what trial encodes
// measured, and the room that they share.
func FromProfiles(profiles []hwaccel.Profile) (Room, []Device) {
	var shared Room
	var devices []Device
	for _, profile := range profiles {
		if profile.Device.Kind == hwaccel.CPU {
			shared[Threads] = int64(profile.Room.Threads) * Thread
			shared[Memory] = profile.Room.MemoryBytes
			shared[Scratch] = profile.Room.ScratchBytes
		}
	}
	for _, profile := range profiles {
		d := Device{ID: profile.Device.ID, Kind: profile.Device.Kind, Name: profile.Device.Name, Sessions: profile.Room.Sessions}
		if profile.SharedSessions > 0 {
			// Its own room leaves out what the other cards hold, and changes with it:
			// what was decided says that sooner.
			d.Consumer, d.Sessions = true, profile.SharedSessions
			if shared[HostSessions] == 0 || int64(profile.SharedSessions) < shared[HostSessions] {
				shared[HostSessions] = int64(profile.SharedSessions)
			}
		}
		if d.Kind != hwaccel.CPU {
			d.MemoryBytes = profile.Room.MemoryBytes
		}
		for _, encoder := range profile.Encoders {
			if encoder.Works {
				d.Encoders = append(d.Encoders, Speed{
					Codec: encoder.Encoder, Headers: profile.Headers(encoder.Encoder),
					FramesPerSecond: byPixels(encoder.FramesPerSecond, profile.Room.Threads), Watts: encoder.Watts(),
				})
			}
			if encoder.Works && encoder.Sessions > 0 && !d.Consumer && (d.Sessions == 0 || encoder.Sessions < d.Sessions) {
				d.Sessions = encoder.Sessions
			}
		}
		for _, decoder := range profile.Decoders {
			if decoder.Works && decoder.API != hwaccel.NoAPI && len(decoder.FramesPerSecond) > 0 {
				d.Decoders = append(d.Decoders, Speed{Codec: decoder.Codec, FramesPerSecond: byPixels(decoder.FramesPerSecond, 1)})
			}
		}
		devices = append(devices, d)
	}
	return shared, devices
}

// usualSpeed stands for an encoder that works but was not measured, in frames of
// 1080p a second and thread: x264 veryfast on a server's CPU.
const usualSpeed = 40

// byPixels turns speeds by rung ("360p") into speeds by the pixels of a picture
// of 16:9.
func byPixels(byRung map[string]float64, threads int) map[int]float64 {
	speeds := make(map[int]float64, len(byRung))
	for rung, fps := range byRung {
		lines, err := strconv.Atoi(strings.TrimSuffix(rung, "p"))
		if err == nil && lines > 0 && fps > 0 {
			speeds[(lines*16+8)/9*lines] = fps
		}
	}
	if len(speeds) == 0 {
		speeds[fullHD] = usualSpeed * float64(max(1, threads))
	}
	return speeds
}

// Encoder is which of work.Encoders the rack does most with, or with which it takes
// least energy if work prefers that and it is known, where work.Requires is met;
// empty if no open device has any of them.
func (e *Engine) Encoder(work Work) string {
	if work.Prefer == PreferEnergy {
		if best := e.thriftiest(work); best != "" {
			return best
		}
	}
	best, most := "", 0.0
	for name := range strings.SplitSeq(work.Encoders, ",") {
		sum := 0.0
		for _, c := range e.classes {
			if c.devices == 0 || !c.meets(work, name) {
				continue
			}
			for _, speed := range c.spec.Encoders {
				if speed.Codec == name {
					sum += speed.at(fullHD) * float64(c.devices)
				}
			}
		}
		if sum > most {
			best, most = name, sum
		}
	}
	return best
}
