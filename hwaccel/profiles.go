package hwaccel

import (
	"fmt"
	"slices"
	"time"
)

// Steps in which room that others take up is counted, so that what a node
// reports doesn't change with each of their frames.
const (
	othersMemoryStep  = 256 << 20
	othersPercentStep = 25
)

// Profiles is what every device can do now. Devices that haven't been tried yet
// are left out; what can't be used is listed with the reason.
func (i *Inventory) Profiles() []Profile {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []Profile
	for _, s := range i.devices {
		var profile Profile
		switch {
		case s.profile != nil:
			profile = *s.profile
		case s.lost != "":
			profile = Declined(s.sighting.Device, "the device is lost: "+s.lost)
		default:
			continue
		}
		profile.Device = s.sighting.Device
		profile.Room = i.roomOf(s).room
		profile.SharedSessions = i.sharedSessions(s)
		profile.Encoders = slices.Clone(profile.Encoders)
		if s.lost != "" {
			profile.Device.Unusable = "the device is lost: " + s.lost
		}
		for k := range profile.Encoders {
			profile.Encoders[k] = i.encoderNow(s, profile.Encoders[k])
		}
		if why := s.out(); why != "" {
			profile.Decoders = slices.Clone(profile.Decoders)
			for k, d := range profile.Decoders {
				profile.Decoders[k] = DecoderProfile{Codec: d.Codec, API: d.API, PixelFormat: d.PixelFormat, Reason: why}
			}
			profile.DeviceFilters = nil
		}
		all = append(all, profile)
	}
	return all
}

// out says why nothing on the device can be used; empty if it can.
func (s *state) out() string {
	switch {
	case s.lost != "":
		return "the device is lost: " + s.lost
	case s.faulty:
		return "the device has been lost or faulty, and is tried before it gets work"
	}
	return ""
}

// encoderNow is an encoder as it can be used now.
func (i *Inventory) encoderNow(s *state, e EncoderProfile) EncoderProfile {
	if !e.Works {
		return e
	}
	room := i.roomOf(s)
	why := s.out()
	if b := s.breakers[e.Encoder]; why == "" && b != nil {
		why = b.why()
	}
	if why == "" && room.limited && room.room.Sessions <= 0 {
		why = fmt.Sprintf("the driver opens no more encode sessions: the limit is %d, and others hold %d", room.limit, room.others)
	}
	if room.room.Sessions > 0 && (e.Sessions > 0 || room.limited) {
		e.Sessions = min(max(e.Sessions, 1), room.room.Sessions)
		if room.limited {
			e.Sessions = room.room.Sessions
		}
	}
	if why != "" {
		return EncoderProfile{Encoder: e.Encoder, Reason: why}
	}
	if room.share < 100 {
		speeds := make(map[string]float64, len(e.FramesPerSecond))
		for rung, fps := range e.FramesPerSecond {
			speeds[rung] = fps * float64(room.share) / 100
		}
		e.FramesPerSecond = speeds
	}
	return e
}

// roomNow is a device's room with what others take up taken off.
type roomNow struct {
	room    Room
	limited bool // the number of sessions is
	limit   int
	others  int // sessions that count against the limit and aren't this device's own
	share   int // percent of the encoder's speed that others leave
}

func (i *Inventory) roomOf(s *state) roomNow { return i.roomWith(s, s.sighting) }

// roomWith is the room as by another sighting. i.mu is held.
func (i *Inventory) roomWith(s *state, sighting Sighting) roomNow {
	now := roomNow{room: sighting.Room, share: 100}
	if s.profile != nil && sighting.Device.Kind != CPU {
		measured := s.profile.Room
		now.room.Threads, now.room.Sessions, now.room.PixelsPerSecond = measured.Threads, measured.Sessions, measured.PixelsPerSecond
	}
	others := sighting.Usage.Others
	if memory := others.MemoryBytes; memory > 0 {
		now.room.MemoryBytes = max(0, now.room.MemoryBytes-(memory+othersMemoryStep-1)/othersMemoryStep*othersMemoryStep)
	}
	busy := max(others.EncoderPercent, others.DecoderPercent)
	now.share = 100 - min(75, (busy+othersPercentStep-1)/othersPercentStep*othersPercentStep)
	if busy > 0 {
		now.room.PixelsPerSecond = now.room.PixelsPerSecond * int64(now.share) / 100
	}
	if limit, known := i.limits.of(s.sighting.Device.ID, time.Now()); known {
		now.limited, now.limit = true, limit
		now.others = i.othersSessions(s, sighting)
		for _, other := range i.devices {
			if other != s && i.limits.shared(s.sighting.Device.ID, other.sighting.Device.ID) {
				now.others += i.othersSessions(other, other.sighting) + other.sessions()
			}
		}
		now.room.Sessions = max(0, now.limit-now.others)
	} else if now.room.Sessions > 0 {
		// What made the device no faster is not refused.
		now.room.Sessions = max(1, now.room.Sessions-i.othersSessions(s, sighting))
	}
	return now
}

// sharedSessions is what the host's cards that have a learned limit together may
// hold of it: what isn't held by strangers. 0 if none is known, or if only one
// card has it, which its own room says already. i.mu is held.
func (i *Inventory) sharedSessions(s *state) int {
	limit, known := i.limits.of(s.sighting.Device.ID, time.Now())
	if !known {
		return 0
	}
	cards, strangers := 0, 0
	for _, other := range i.devices {
		if i.limits.shared(s.sighting.Device.ID, other.sighting.Device.ID) {
			cards++
			strangers += i.othersSessions(other, other.sighting)
		}
	}
	if cards < 2 {
		return 0
	}
	return max(0, limit-strangers)
}

// othersSessions is how many encode sessions aren't ours. By their process
// numbers they may all seem foreign (in a container) and by the count of ours too
// few (while ours are only being opened), so the smaller of the two is right.
func (i *Inventory) othersSessions(s *state, sighting Sighting) int {
	if sighting.Usage.Sessions == nil {
		return 0
	}
	return min(sighting.Usage.Others.Sessions, max(0, *sighting.Usage.Sessions-s.sessions()))
}

// sessions is how many encode sessions our attempts hold on the device.
func (s *state) sessions() int {
	sum := 0
	for use := range s.uses {
		sum += use.sessions
	}
	return sum
}
