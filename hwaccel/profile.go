package hwaccel

import (
	"fmt"
	"slices"
)

// Profile is what trials measured on a device.
type Profile struct {
	Device      Device           `json:"device"`
	FFmpegBuild string           `json:"ffmpeg_build"` // ffmpeg.Tools.Build
	Encoders    []EncoderProfile `json:"encoders"`
	Decoders    []DecoderProfile `json:"decoders,omitempty"`
	// DeviceFilters names the filters that work on the device's pictures.
	DeviceFilters []string `json:"device_filters,omitempty"`
	// Room is all that the device can hold at once.
	Room Room `json:"room"`
	// SharedSessions is how many encode sessions this device and the others of its
	// host that have it may hold together, whoever holds them now among our own
	// attempts: the driver counts consumer cards as one. 0 if no limit is known.
	SharedSessions int `json:"shared_sessions,omitempty"`
}

// EncoderProfile is how one encoder did on a device.
type EncoderProfile struct {
	Encoder string `json:"encoder"`
	Works   bool   `json:"works"`
	// Reason says, for people, why it doesn't work; empty if it does.
	Reason string `json:"reason,omitempty"`
	// TenBit says whether it also works with pictures of 10 bits, and
	// TenBitReason why not.
	TenBit       bool   `json:"ten_bit,omitempty"`
	TenBitReason string `json:"ten_bit_reason,omitempty"`
	// FramesPerSecond is by rung ("360p"), measured with the whole device at
	// work on one encode of Standard quality.
	FramesPerSecond map[string]float64 `json:"frames_per_second,omitempty"`
	// Sessions is how many encodes at once the device was seen to do: as many as
	// made it faster, or as the driver allows. 0 is for encoders on the CPU,
	// whose number is bounded by its threads.
	Sessions int `json:"sessions,omitempty"`
	// SessionsFramesPerSecond is the speed of all sessions together, of the
	// largest rung measured.
	SessionsFramesPerSecond float64 `json:"sessions_frames_per_second,omitempty"`
	// SSIM is how like the source the trial's pictures were, 1 is equal.
	SSIM float64 `json:"ssim,omitempty"`
	// JoulesPerFrame is by rung what a frame took of the device's energy, beyond what
	// the device draws at rest; none where that can't be read, as in older profiles.
	JoulesPerFrame map[string]float64 `json:"joules_per_frame,omitempty"`
	// Without names the features of the encoder's row that the device refuses.
	Without []string `json:"without,omitempty"`
	// Signature tells apart what devices write into a stream's header for the
	// same arguments: chunks of one rendition need the same.
	Signature string `json:"signature,omitempty"`
}

// DecoderProfile is how one decoder did on a device.
type DecoderProfile struct {
	Codec       string `json:"codec"` // ffmpeg's name
	API         API    `json:"api,omitempty"`
	PixelFormat string `json:"pixel_format"`
	Works       bool   `json:"works"`
	Reason      string `json:"reason,omitempty"`
	// FramesPerSecond is by rung.
	FramesPerSecond map[string]float64 `json:"frames_per_second,omitempty"`
}

// Decodes says whether sources of a codec and pixel format were decoded right.
func (p Profile) Decodes(api API, codec, pixelFormat string) bool {
	return slices.ContainsFunc(p.Decoders, func(d DecoderProfile) bool {
		return d.Works && d.API == api && d.Codec == codec && d.PixelFormat == pixelFormat
	})
}

// Filters says whether a filter works on the device's pictures.
func (p Profile) Filters(f Filter) bool { return slices.Contains(p.DeviceFilters, f.Name) }

// Encoder finds an encoder that was tried; the zero EncoderProfile doesn't work.
func (p Profile) Encoder(name string) (EncoderProfile, bool) {
	for _, e := range p.Encoders {
		if e.Encoder == name {
			return e, true
		}
	}
	return EncoderProfile{Encoder: name, Reason: "it was not tried on this device"}, false
}

// Works says whether an encoder gave good pictures on this device.
func (p Profile) Works(encoder string) bool {
	e, tried := p.Encoder(encoder)
	return tried && e.Works
}

// Headers tells apart what devices write into the headers of an encoder's
// streams: chunks of one rendition need the same. It is the trial's signature;
// of a trial that found none, devices are taken to be alike if their model, driver
// and ffmpeg are. Empty where the encoder doesn't work.
func (p Profile) Headers(encoder string) string {
	e, tried := p.Encoder(encoder)
	switch {
	case !tried || !e.Works:
		return ""
	case e.Signature != "":
		return e.Signature
	case p.Device.Kind == CPU: // whichever CPU it is, the same program makes the same headers
		return fmt.Sprintf("ffmpeg %s", p.FFmpegBuild)
	}
	return fmt.Sprintf("%s, driver %s, ffmpeg %s", p.Device.Name, p.Device.Driver, p.FFmpegBuild)
}

// Watts is what the device draws for one encode at FramesPerSecond, beyond what it
// draws at rest; 0 where that isn't known.
func (e EncoderProfile) Watts() float64 {
	watts := 0.0
	for _, rung := range rungs { // the largest that was measured has the least of the start in it
		if joules, fps := e.JoulesPerFrame[rung.name], e.FramesPerSecond[rung.name]; joules > 0 && fps > 0 {
			watts = joules * fps
		}
	}
	return watts
}

// PixelsPerSecond estimates how fast an encoder goes through pixels on this
// device, all its sessions together; 0 if it doesn't work.
func (e EncoderProfile) PixelsPerSecond() float64 {
	best := e.SessionsFramesPerSecond * float64(largeRung.width*largeRung.height)
	for _, rung := range rungs {
		best = max(best, e.FramesPerSecond[rung.name]*float64(rung.width*rung.height))
	}
	return best
}

// Room is an amount of each thing that work takes up. It is what a device has,
// what is left of it, and what a task needs.
type Room struct {
	Threads         int   `json:"threads,omitempty"`  // CPU threads
	Sessions        int   `json:"sessions,omitempty"` // of the device's encoder
	PixelsPerSecond int64 `json:"pixels_per_second,omitempty"`
	MemoryBytes     int64 `json:"memory_bytes,omitempty"`
	ScratchBytes    int64 `json:"scratch_bytes,omitempty"`
}

// Fits says whether need fits into r, in every dimension. What isn't needed
// can't be lacking, even where r is overdrawn.
func (r Room) Fits(need Room) bool {
	return (need.Threads <= 0 || need.Threads <= r.Threads) &&
		(need.Sessions <= 0 || need.Sessions <= r.Sessions) &&
		(need.PixelsPerSecond <= 0 || need.PixelsPerSecond <= r.PixelsPerSecond) &&
		(need.MemoryBytes <= 0 || need.MemoryBytes <= r.MemoryBytes) &&
		(need.ScratchBytes <= 0 || need.ScratchBytes <= r.ScratchBytes)
}

// Minus is what is left of r once need is taken; it may be negative.
func (r Room) Minus(need Room) Room {
	return Room{
		Threads:         r.Threads - need.Threads,
		Sessions:        r.Sessions - need.Sessions,
		PixelsPerSecond: r.PixelsPerSecond - need.PixelsPerSecond,
		MemoryBytes:     r.MemoryBytes - need.MemoryBytes,
		ScratchBytes:    r.ScratchBytes - need.ScratchBytes,
	}
}

// Plus is r and more together.
func (r Room) Plus(more Room) Room { return r.Minus(Room{}.Minus(more)) }
