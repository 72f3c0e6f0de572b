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
		case s.lost == "":
			continue
		}
		profile.Device = s.sighting.Device
		profile.Room = i.roomOf(s).room
		profile.Encoders = slices.Clone(profile.Encoders)
		if s.lost != "" {
			profile.Device.Unusable = "the device is lost: " + s.lost
		}
		for k := range profile.Encoders {
			profile.Encoders[k] = i.encoderNow(s, profile.Encoders[k])
		}
		all = append(all, profile)
	}
	return all
}

// encoderNow is an encoder as it can be used now.
func (i *Inventory) encoderNow(s *state, e EncoderProfile) EncoderProfile {
	if !e.Works {
		return e
	}
	room := i.roomOf(s)
	why := ""
	switch {
	case s.lost != "":
		why = "the device is lost: " + s.lost
	case s.trial == freshTrial:
		why = "the device has come back, and is tried before it gets work"
	case s.breakers[e.Encoder] != nil:
		why = s.breakers[e.Encoder].why()
	}
	if why == "" && room.limited && s.sighting.Device.Kind != CPU {
		if room.room.Sessions <= 0 {
			why = fmt.Sprintf("the driver opens no more encode sessions: the limit is %d, and others hold %d", room.limit, room.others)
		}
		e.Sessions = max(room.room.Sessions, 1)
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
	} else if now.room.Sessions > 0 {
		now.limited, now.limit, now.others = true, now.room.Sessions, i.othersSessions(s, sighting)
	}
	if now.limited {
		now.room.Sessions = max(0, now.limit-now.others)
	}
	return now
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
